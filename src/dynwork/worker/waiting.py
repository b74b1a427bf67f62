"""Chains that wait for a lane, which of them go into one together, and when to ask for more. Pure.

Order: priority, highest first, then the order of the grants. A batch holds chains of one kind. A chain in progress
goes on before another starts; others join it only while the batch is shorter than a slice of work, or lanes are empty,
and only from the front of the order: no kind can keep another waiting for ever.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence

from dynwork.worker.holding import Held

BATCH_CHAINS_MAX = 2000
"""Chains in one batch at most."""

PREFETCH_S = 0.5
"""More work is asked for when a lane will be without any this soon, seconds."""


class Waiting:
    """A priority queue that knows how much work is in it."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Held]] = []
        self.steps: Counter[str] = Counter()
        """Steps that remain of the chains waiting, by kind."""

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, held: Held) -> None:
        """Let ``held`` wait, in its place."""
        heapq.heappush(self._heap, (-held.priority, held.order, held))
        self.steps[held.kind] += held.remaining

    def first(self) -> Held | None:
        """Return whose turn it is."""
        return self._heap[0][2] if self._heap else None

    def pop(self) -> Held:
        """Take the first. Raises ``IndexError`` when nobody waits."""
        held = heapq.heappop(self._heap)[2]
        self.steps[held.kind] -= held.remaining
        return held

    def take_all(self) -> list[Held]:
        """Take everyone."""
        everyone = [held for _, _, held in self._heap]
        self._heap.clear()
        self.steps.clear()
        return everyone

    def discard_gone(self) -> None:
        """Take out those that are not ours any more."""
        if any(held.gone for _, _, held in self._heap):
            for held in self.take_all():
                if not held.gone:
                    self.push(held)


def fill(batch: list[Held], waiting: Waiting, *, width: int, steps: float, chains: int) -> None:
    """Let those whose turn it is join ``batch``, whose first chain sets the kind.

    Until it holds ``width`` chains, the lanes of the kind; then until it holds ``steps`` steps or ``chains`` chains. A
    chain that runs alone is joined by none and joins none.
    """
    kind, ahead = batch[0].kind, sum(held.remaining for held in batch)
    limit = min(max(chains, width), BATCH_CHAINS_MAX)
    while not batch[0].alone and len(batch) < limit and (len(batch) < width or ahead < steps):
        turn = waiting.first()
        if turn is None or turn.kind != kind or turn.alone:
            return
        batch.append(waiting.pop())
        ahead += turn.remaining


def free_in_s(remaining: Sequence[int], width: int, steps_per_s: float) -> float:
    """Return when a group that runs these chains has a lane free, seconds; ``steps_per_s`` with all its lanes full."""
    if len(remaining) < width or not remaining:
        return 0.0
    return (sum(remaining) if len(remaining) > width else min(remaining) * width) / steps_per_s


def hungry(free_in: Sequence[float], waiting: int, waiting_s: float) -> bool:
    """Say whether some group will have a lane free within ``PREFETCH_S`` and nothing left to put there.

    ``free_in``: :func:`free_in_s` of each group. ``waiting_s``: the work of the chains ``waiting``, in seconds of one
    group. Many short chains are poured over the groups like a fluid; of a few long ones each takes a lane.
    """
    room = [PREFETCH_S - seconds for seconds in free_in if seconds < PREFETCH_S]
    return waiting < len(room) or waiting_s < sum(room)
