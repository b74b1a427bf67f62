"""The lines in front of the store: one for each kind of request, bounded, and drawn from fairly.

A batch is what one caller brings; it waits, is drawn and is answered as one. A draw is max-min fair: the shortest line
is served first and each has an equal share of what is left, so a flood of one kind cannot starve another. A batch whose
caller has gone meanwhile is dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dynwork.errors import DynworkError, UnavailableError
from dynwork.orchestrator.core.job import Job, Submission
from dynwork.orchestrator.core.machine import Verdict
from dynwork.orchestrator.store.commands import Ask, Cancel, Grant, Heartbeat, Pulse, Report, Requeue

Item: TypeAlias = Report | Heartbeat | Cancel | Requeue | Submission | Ask
Answer: TypeAlias = Verdict | Pulse | Job | Grant | DynworkError

IN_ORDER: tuple[type[Item], ...] = (Report, Heartbeat, Cancel, Requeue, Submission, Ask)
"""The kinds, in the order in which a round carries them out."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What one caller waits for. ``weight``: rows that the store will touch, roughly."""

    items: Sequence[Item]
    weight: int
    answers: asyncio.Future[Sequence[Answer]]

    def resolve(self, answers: Sequence[Answer]) -> None:
        """Hand over the answers, if the caller is still there."""
        if not self.answers.done():
            self.answers.set_result(answers)

    def refuse(self, error: UnavailableError) -> None:
        """Fail the caller, unless it has its answers; with a copy, since a shared exception would gather tracebacks."""
        if not self.answers.done():
            self.answers.set_exception(type(error)(error.detail, retry_after_s=error.retry_after_s))


class _Line:
    """The batches of one kind, first come first served."""

    def __init__(self) -> None:
        self.batches: deque[Batch] = deque()
        self.weight = 0

    def append(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.weight += batch.weight

    def draw(self, share: float) -> list[Batch]:
        """Take batches whose callers still wait until ``share`` is used up; at least one, if there is one."""
        drawn: list[Batch] = []
        taken = 0
        while self.batches and (not drawn or taken + self.batches[0].weight <= share):
            batch = self.batches.popleft()
            self.weight -= batch.weight
            if not batch.answers.done():
                drawn.append(batch)
                taken += batch.weight
        return drawn


class Lines:
    """All lines. ``someone_waits`` is set when a batch joins; whoever draws clears it first."""

    def __init__(self, *, round_max: int, waiting_max: int) -> None:
        """``round_max``: weight of one draw, about; ``waiting_max``: batches in one line at most."""
        self.someone_waits = asyncio.Event()
        self._round_max = round_max
        self._waiting_max = waiting_max
        self._lines: dict[type[Item], _Line] = {kind: _Line() for kind in IN_ORDER}

    def join(self, kind: type[Item], items: Sequence[Item], weight: int) -> asyncio.Future[Sequence[Answer]]:
        """Queue up; return the answers to come. Raises ``UnavailableError`` if the line is full."""
        line = self._lines[kind]
        if len(line.batches) >= self._waiting_max:
            raise UnavailableError(f"{len(line.batches)} requests wait for the store already", retry_after_s=1)
        answers: asyncio.Future[Sequence[Answer]] = asyncio.get_running_loop().create_future()
        line.append(Batch(items, weight, answers))
        self.someone_waits.set()
        return answers

    def draw(self) -> list[Batch]:
        """Take what the next round consists of, in the order of a round; empty when nobody waits."""
        drawn: dict[type[Item], list[Batch]] = {}
        left = float(self._round_max)
        waiting = sorted(
            (kind for kind in IN_ORDER if self._lines[kind].batches), key=lambda kind: self._lines[kind].weight
        )
        for number, kind in enumerate(waiting):
            drawn[kind] = self._lines[kind].draw(left / (len(waiting) - number))
            left = max(left - sum(batch.weight for batch in drawn[kind]), 0)
        return [batch for kind in IN_ORDER for batch in drawn.get(kind, ())]

    def waiting(self, kind: type[Item]) -> int:
        """Return how many batches of ``kind`` wait."""
        return len(self._lines[kind].batches)
