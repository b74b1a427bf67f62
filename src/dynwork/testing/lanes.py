"""Lanes in virtual time: they really advance their chains, at a speed that the test sets, and sleep on its clock."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dynwork.clock import Clock
from dynwork.kinds import Kind
from dynwork.kinds.sha512_chain import PYTHON, Sha512Chain
from dynwork.worker.slices import Batch, Slice, WorkError


class SimulatedLanes:
    """A :class:`dynwork.worker.lane_groups.LaneGroup` of ``steps_per_s`` steps per second of ``clock``."""

    def __init__(self, clock: Clock, steps_per_s: float) -> None:
        self._clock = clock
        self.steps_per_s = steps_per_s
        self.batches: list[Batch] = []
        """All that was given to these lanes."""
        self.closed = False

    async def advance(self, kind: Kind, batch: Batch, max_seconds: float) -> Slice:
        """See :meth:`LaneGroup.advance`. An error takes a whole slice: the test sees what happens meanwhile."""
        self.batches.append(batch)
        budget = max(int(self.steps_per_s * max_seconds), 1)
        try:
            states, steps = kind.advance(batch.states, batch.remaining, budget, math.inf)
        except Exception as error:
            await self._clock.sleep(max_seconds)
            raise WorkError("kind_error", f"{type(error).__name__}: {error}") from error
        seconds = sum(steps) / self.steps_per_s
        await self._clock.sleep(seconds)
        return Slice(states, steps, seconds)

    async def close(self) -> None:
        """See :meth:`LaneGroup.close`."""
        self.closed = True


PLAIN = Sha512Chain(PYTHON)
"""The default kind as every machine has it: one lane, in a process."""


class Wide(Sha512Chain):
    """The hash chain in four lanes: as many chains advance together, and share the steps."""

    name = "wide"

    def __init__(self) -> None:
        super().__init__(PYTHON)
        self.lanes = 4

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> tuple[list[bytes], list[int]]:
        """See :meth:`dynwork.kinds.Kind.advance`."""
        after, made = list(states), [0] * len(states)
        running = min(len(states), self.lanes)
        for index, left in enumerate(remaining[: self.lanes]):
            share = min(left, max(max_steps // running, 1))
            after[index] = super().advance([states[index]], [share], share, max_seconds)[0][0]
            made[index] = share
        return after, made
