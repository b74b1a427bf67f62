"""Which chain runs where: continuous batching.

A slot is one core's worth of lanes, run by one task: it takes the batch whose turn it is, lets its lane group advance
it for a slice, takes what came back, and begins again. Chains that are not finished stay, others join them. Between two
slices, forty times a second, new orders are seen: what was cancelled is left out, what is to be handed back goes. The
newest pair that came back IS the checkpoint.

A chain that waits goes to the slot whose slice ends first; when none waits, slots share what they have
(:mod:`dynwork.worker.sharing`). A chain is handed over at the end of the giver's slice and goes on at the end of the
taker's.

When a batch of several fails, nobody knows whose fault it was: its chains are put back as they were, each to run alone
from then on. The chain that fails alone is the culprit. A batch of n costs n slices at most, and the others nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dynwork import logs
from dynwork.errors import ConfigurationError
from dynwork.kinds import Kind
from dynwork.wire import STEPS_MAX
from dynwork.worker.desk import Desk
from dynwork.worker.holding import Held
from dynwork.worker.lane_groups import LaneGroup
from dynwork.worker.pace import Seen
from dynwork.worker.sharing import Speeds, better_there, fair_share
from dynwork.worker.slices import Batch, Slice, WorkError
from dynwork.worker.waiting import PREFETCH_S, Room, fill, hungry, listed

log = logs.get("dynwork.worker.lanes")


@dataclass(slots=True, eq=False)
class Slot:
    """One core's worth of lanes: a process and a thread, of which each kind uses one."""

    process: LaneGroup
    thread: LaneGroup
    chains: list[Held] = field(default_factory=list)
    """In lanes now, or in progress between two slices."""
    coming: list[Held] = field(default_factory=list)
    """Handed over by another slot; they join when the slice ends."""

    def group(self, kind: Kind) -> LaneGroup:
        """Return the lanes that this kind runs in."""
        return self.thread if kind.releases_gil else self.process

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.chains or self.coming)


class Lanes:
    """All slots of one worker."""

    def __init__(self, desk: Desk, slots: Sequence[Slot], slice_s: float) -> None:
        """``slice_s``: how long lanes run between two looks at new orders, seconds."""
        self._desk = desk
        self._pace = desk.pace
        self._slots = slots
        self._slice_s = slice_s

    def hungry(self) -> bool:
        """Say whether more work should be asked for."""
        share = self._pace.share_s
        work_s = self._desk.waiting.work_s
        for slot in self._slots:
            for held in (*slot.chains, *slot.coming):
                work_s += share(held.kind, held.remaining, PREFETCH_S)
        return hungry(work_s, len(self._slots))

    async def calibrate(self, kind: Kind, seconds: float) -> None:
        """Measure the worker's rates in about ``seconds``, all groups at once. Raises ``ConfigurationError``."""
        try:
            await self._measure(kind, 1, 0.0)  # lanes start up: not to be measured
            full = await self._measure(kind, kind.lanes, seconds / 2)
            alone = await self._measure(kind, 1, seconds / 2)
        except* WorkError as errors:
            raise ConfigurationError(
                f"lanes do not run {kind.name} on this machine: {errors.exceptions[0]}"
            ) from errors
        self._pace.calibrate(full, alone)

    async def _measure(self, kind: Kind, chains: int, seconds: float) -> list[float]:
        state, _ = kind.start().finish()
        batch = Batch(kind.name, [state] * chains, [STEPS_MAX] * chains)
        async with asyncio.TaskGroup() as tasks:
            slices = [tasks.create_task(slot.group(kind).advance(kind, batch, seconds)) for slot in self._slots]
        return [sum(made.result().steps) / max(made.result().seconds, 1e-6) for made in slices]

    async def run(self) -> None:
        """Advance chains until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for slot in self._slots:
                tasks.create_task(self._run(slot))

    async def close(self) -> None:
        """End all lanes, in whatever state."""
        for slot in self._slots:
            await slot.process.close()
            await slot.thread.close()

    async def _run(self, slot: Slot) -> None:
        while True:
            self._load(slot)
            if slot.chains:
                await self._slice(slot)
                self._desk.room.set()
            else:
                self._desk.work.clear()
                await self._desk.work.wait()

    def _load(self, slot: Slot) -> None:
        """Choose the chains of the next slice, if there are any."""
        coming, slot.coming = slot.coming, []
        for held in coming:
            if self._desk.handing_back or held.gone:
                self._desk.put_back(held)
            else:
                slot.chains.append(held)
        if self._desk.waiting:
            self._fill(slot)
        else:
            self._share(slot)

    def _fill(self, slot: Slot) -> None:
        waiting, pace, slice_s = self._desk.waiting, self._pace, self._slice_s
        first = slot.chains[0] if slot.chains else waiting.first()
        assert first is not None
        width = self._desk.kinds[first.kind].lanes
        others = [other for other in self._slots if other is not slot]
        idle = sum(other.idle for other in others)  # they are about to take their share
        room = Room(
            seconds=slice_s,
            share=lambda held: pace.share_s(held.kind, held.remaining, slice_s),
            chains=len(slot.chains) + fair_share(len(waiting), len(slot.chains), idle, width),
            spares=width if len(waiting) > width * len(self._slots) else 0,
        )
        fill(slot.chains, waiting, room)

    def _share(self, slot: Slot) -> None:
        """Hand chains to other slots, if both are faster together by that."""
        if len(slot.chains) < 2:
            return
        kind = self._desk.kinds[slot.chains[0].kind]
        speeds = Speeds(kind.lanes, self._pace.group_speed(kind.name), self._pace.alone_speed(kind.name))
        worth = speeds.lane * self._slice_s  # a shorter chain would end while it moves
        for other in self._slots:
            there = [*other.chains, *other.coming]
            if other is slot or any(held.kind != kind.name or held.alone for held in there):
                continue
            by_need = sorted(_longer(worth, slot.chains), key=lambda held: (held.priority, held.remaining))
            count = better_there(len(by_need), len(_longer(worth, there)), speeds)
            if count:
                given = by_need[:count] if there else by_need[-count:]  # who needs it most has a group alone
                slot.chains = [held for held in slot.chains if held not in given]
                other.coming += given
                self._desk.work.set()

    async def _slice(self, slot: Slot) -> None:
        chains = slot.chains
        kind = self._desk.kinds[chains[0].kind]
        batch = Batch(kind.name, [held.state for held in chains], [held.remaining for held in chains])
        all_busy = self._all_busy()
        try:
            made = await slot.group(kind).advance(kind, batch, self._slice_s)
        except WorkError as error:
            slot.chains = []
            self._blame(chains, error)
            return
        slot.chains = self._take(chains, made)
        steps = sum(made.steps)
        self._desk.metrics.slices.labels(kind.name).inc()
        self._desk.metrics.steps.labels(kind.name).inc(steps)
        seen = Seen(
            kind.name,
            chains=len(chains),
            unfinished=sum(made < left for made, left in zip(made.steps, batch.remaining, strict=True)),
            width=kind.lanes,
            steps=steps,
            seconds=made.seconds,
            max_seconds=self._slice_s,
            all_busy=all_busy and self._all_busy(),
        )
        self._pace.learn(seen)

    def _take(self, chains: Sequence[Held], made: Slice) -> list[Held]:
        """Take what came back from a slice; return the chains that stay in lanes, first those that need it most.

        Lanes need not be equally fast: a kind may leave the last one behind where another program shares its core.
        """
        staying = []
        for held, state, steps in zip(chains, made.states, made.steps, strict=True):
            if not held.gone:
                self._desk.advance(held, state, steps)
                if held.ending is not None:
                    continue
            held.passed_over = not steps
            if steps and not self._desk.handing_back and not held.gone:
                staying.append(held)
            else:
                self._desk.put_back(held)
        return sorted(staying, key=listed)

    def _blame(self, chains: Sequence[Held], error: WorkError) -> None:
        if len(chains) == 1:
            self._desk.fail(chains[0], error.code, error.detail)
            return
        log.warning("batch_failed", chains=len(chains), code=error.code, detail=error.detail)
        for held in chains:
            held.alone = True
            self._desk.put_back(held)

    def _all_busy(self) -> bool:
        return all(slot.chains for slot in self._slots)


def _longer(steps: float, chains: Sequence[Held]) -> list[Held]:
    return [held for held in chains if held.remaining > steps]


def slots_of(count: int, process: Callable[[], LaneGroup], thread: Callable[[], LaneGroup]) -> list[Slot]:
    """Make ``count`` slots."""
    return [Slot(process(), thread()) for _ in range(count)]
