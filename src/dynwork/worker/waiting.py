"""Chains that wait for a lane, which of them go into one together, and when to ask for more. Pure.

Order: priority, highest first, then the order of the grants. A batch holds chains of one kind. A chain in progress
keeps its lane; others join it only while lanes would stand empty before the slice ends, and only from the front of the
order: no kind can keep another waiting for ever. Those that join together are listed longest first within a priority,
so that no long chain is left to end alone; one that was listed before and got no lane comes before them, so that
nobody is overtaken twice.

How much a chain is depends on who looks: of a long one only what its lane can do within the horizon counts. The
*share* of a chain is that, in seconds of a whole group (:meth:`dynwork.worker.pace.Pace.share_s`).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from dynwork.worker.holding import Held

BATCH_CHAINS_MAX = 4000
"""Chains in one batch at most."""

PREFETCH_S = 0.5
"""More work is asked for when a lane will be without any this soon, seconds."""

ENOUGH = 1 - 1e-9
"""Shares add up but for rounding."""

Share = Callable[[Held], float]


class Waiting:
    """A priority queue that knows how much work is in it."""

    def __init__(self, share: Share) -> None:
        """``share`` of a chain, within the horizon that ``work_s`` is for."""
        self._share = share
        self._heap: list[tuple[int, int, Held, float]] = []
        self._work_s = 0.0

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def work_s(self) -> float:
        """The shares of all that wait, in seconds of one group."""
        return self._work_s if self._heap else 0.0

    def push(self, held: Held) -> None:
        """Let ``held`` wait, in its place."""
        share = self._share(held)
        heapq.heappush(self._heap, (-held.priority, held.order, held, share))
        self._work_s += share

    def first(self) -> Held | None:
        """Return whose turn it is."""
        return self._heap[0][2] if self._heap else None

    def pop(self) -> Held:
        """Take the first. Raises ``IndexError`` when nobody waits."""
        _, _, held, share = heapq.heappop(self._heap)
        self._work_s = self._work_s - share if self._heap else 0.0  # no rounding error outlives a queue
        return held

    def take_all(self) -> list[Held]:
        """Take everyone."""
        everyone = [entry[2] for entry in self._heap]
        self._heap.clear()
        self._work_s = 0.0
        return everyone

    def discard_gone(self) -> None:
        """Take out those that are not ours any more."""
        if any(entry[2].gone for entry in self._heap):
            for held in self.take_all():
                if not held.gone:
                    self.push(held)


@dataclass(frozen=True, slots=True)
class Room:
    """What one group can take into its next slice: ``seconds`` of work, and ``chains`` in all at most."""

    seconds: float
    share: Share
    """Of a chain, within ``seconds``."""
    chains: int
    spares: int = 0
    """If any joins, so many more than lanes should need: shares are guesses, an empty lane costs more than a look."""


def fill(batch: list[Held], waiting: Waiting, room: Room) -> None:
    """Let those whose turn it is join ``batch``, whose chains set the kind; the first to come does if there are none.

    A chain that runs alone is joined by none and joins none.
    """
    joining: list[Held] = []
    work_s, spares = sum(map(room.share, batch)), room.spares
    limit = min(room.chains, BATCH_CHAINS_MAX) - len(batch)
    first = batch[0] if batch else waiting.first()
    while len(joining) < limit:
        turn = waiting.first()
        if turn is None or first is None or (turn is not first and not _together(turn, first)):
            break
        if work_s >= room.seconds * ENOUGH:
            if not (joining and spares):
                break
            spares -= 1
        joining.append(waiting.pop())
        work_s += room.share(turn)
    joining.sort(key=listed)
    batch += joining


def _together(one: Held, other: Held) -> bool:
    return one.kind == other.kind and not (one.alone or other.alone)


def listed(held: Held) -> tuple[int, bool, int]:
    """Return the sort key of chains that go into lanes together."""
    return (-held.priority, not held.passed_over, -held.remaining)


def hungry(work_s: float, groups: int) -> bool:
    """Say whether some lane will have nothing to do within ``PREFETCH_S``.

    ``work_s``: the shares within that time of all chains, waiting or in lanes.
    """
    return work_s < PREFETCH_S * groups * ENOUGH
