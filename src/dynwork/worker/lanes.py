"""Which chain runs where.

A slot is one core's worth of lanes, run by one task: it takes the batch whose turn it is, lets its lane group advance
it for a slice, takes what came back, and begins again. Between two slices, twenty times a second, new orders are seen:
what was cancelled is left out, what is to be handed back goes. The newest pair that came back IS the checkpoint.

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
from dynwork.worker.pace import Pace, Seen
from dynwork.worker.slices import Batch, Slice, WorkError
from dynwork.worker.waiting import fill, free_in_s, hungry

log = logs.get("dynwork.worker.lanes")


@dataclass(slots=True, eq=False)
class Slot:
    """One core's worth of lanes: a process and a thread, of which each kind uses one."""

    index: int
    process: LaneGroup
    thread: LaneGroup
    chains: list[Held] = field(default_factory=list)
    """In lanes now, or in progress between two slices."""

    def group(self, kind: Kind) -> LaneGroup:
        """Return the lanes that this kind runs in."""
        return self.thread if kind.releases_gil else self.process


class Lanes:
    """All slots of one worker."""

    def __init__(self, desk: Desk, pace: Pace, slots: Sequence[Slot], slice_s: float) -> None:
        """``slice_s``: how long lanes run between two looks at new orders, seconds."""
        self._desk = desk
        self._pace = pace
        self._slots = slots
        self._slice_s = slice_s

    def hungry(self) -> bool:
        """Say whether more work should be asked for."""
        speed = self._pace.group_speed
        free_in = []
        for slot in self._slots:
            remaining = [held.remaining for held in slot.chains]
            kind = slot.chains[0].kind if slot.chains else ""
            width = self._desk.kinds[kind].lanes if kind else 1
            free_in.append(free_in_s(remaining, width, speed(kind)))
        waiting = self._desk.waiting
        return hungry(free_in, len(waiting), sum(steps / speed(kind) for kind, steps in waiting.steps.items()))

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
            if self._load(slot):
                await self._slice(slot)
                self._desk.room.set()
            else:
                self._desk.work.clear()
                await self._desk.work.wait()

    def _load(self, slot: Slot) -> bool:
        """Choose the chains of the next slice; say whether there are any."""
        waiting = self._desk.waiting
        if not slot.chains:
            if not waiting:
                return False
            slot.chains.append(waiting.pop())
        kind = self._desk.kinds[slot.chains[0].kind]
        idle = sum(not other.chains for other in self._slots)  # they are about to take their share
        steps = self._pace.group_speed(kind.name) * self._slice_s
        fill(slot.chains, waiting, width=kind.lanes, steps=steps, chains=1 + len(waiting) // (1 + idle))
        return True

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
        self._desk.metrics.slices.labels(kind.name).inc()
        self._desk.metrics.steps.labels(kind.name).inc(sum(made.steps))
        seen = Seen(
            kind.name,
            chains=len(chains),
            unfinished=sum(held.remaining > 0 for held in chains),
            width=kind.lanes,
            steps=sum(made.steps),
            seconds=made.seconds,
            max_seconds=self._slice_s,
            all_busy=all_busy and self._all_busy(),
        )
        self._pace.learn(slot.index, seen)

    def _take(self, chains: Sequence[Held], made: Slice) -> list[Held]:
        """Take what came back from a slice; return the chains that stay in their lanes."""
        staying = []
        for held, state, steps in zip(chains, made.states, made.steps, strict=True):
            if held.gone:
                continue
            self._desk.advance(held, state, steps)
            if held.ending is not None:
                continue
            if steps and not self._desk.handing_back:
                staying.append(held)
            else:
                self._desk.put_back(held)
        return staying

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


def slots_of(count: int, process: Callable[[], LaneGroup], thread: Callable[[], LaneGroup]) -> list[Slot]:
    """Make ``count`` slots."""
    return [Slot(index, process(), thread()) for index in range(count)]
