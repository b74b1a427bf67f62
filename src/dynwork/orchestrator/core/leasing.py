"""How much work to hand out.

A worker is given chains for all its lanes, plus only what will start within ``prefetch_s``: enough that no lane waits
for the network, so little that a worker which joins now finds work to take. Work is measured in seconds of this very
worker at this very kind, never in numbers of jobs, and never in steps: those of one kind may take a thousand times as
long as those of another.

A chain of ``remaining`` steps is ``remaining / capacity`` seconds of the whole worker, at the capacity of its kind. To
see when the lanes of a kind are free, all chains, in order, go to the lanes that are free first (list scheduling:
Graham, 1969). Over ``lanes`` lanes, one of the same kind takes one lane for ``lanes`` times its seconds. One of another
kind takes the same share of the worker there as at home, ``lanes / lanes of its own kind`` lanes, rounded up because a
core runs one kind at a time, each for as long as makes its seconds of the whole worker come out right.

Chains of a kind that the worker never measured take for ever, and are given to free lanes only.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass

from dynwork.orchestrator.core.worker import UNMEASURED, Paces


@dataclass(frozen=True, slots=True)
class LeasePolicy:
    """``lease_s``: a silent worker's leases expire after it; ``heartbeat_s``: how often it must be heard (seconds).

    ``prefetch_s``: how far ahead work is handed out; ``batch_max``: jobs in one grant at most.
    """

    lease_s: float = 9.0
    heartbeat_s: float = 3.0
    prefetch_s: float = 1.0
    batch_max: int = 500


class Hand:
    """What one worker holds, as a projection of when its next lane is free. Grows as chains are dealt to it."""

    def __init__(self, paces: Paces, held: Iterable[tuple[str, int]], policy: LeasePolicy) -> None:
        """``held``: kind and remaining steps of each chain it has, in any order."""
        self._paces = paces
        self._policy = policy
        self._chains = sorted(held, reverse=True)  # one order whatever the caller's: the longest of a kind first
        self._lanes: dict[str, _Lanes] = {}
        self.dealt = 0

    def wants(self, kind: str) -> bool:
        """Whether the next chain of ``kind`` would start at once, or within ``prefetch_s``; never beyond the batch.

        What was not wanted once is not wanted later.
        """
        return self.dealt < self._policy.batch_max and not self._lanes_of(kind).closed

    def deal(self, kind: str, remaining: int) -> None:
        """Take one more chain of ``remaining`` steps."""
        for lanes in self._lanes.values():
            lanes.run(kind, remaining)
        self._chains.append((kind, remaining))
        self.dealt += 1

    def _lanes_of(self, kind: str) -> _Lanes:
        if kind not in self._lanes:
            lanes = self._lanes[kind] = _Lanes(kind, self._paces, self._policy.prefetch_s)
            for chain in self._chains:
                lanes.run(*chain)
        return self._lanes[kind]


class _Lanes:
    """The lanes of one kind, and when each is free."""

    def __init__(self, kind: str, paces: Paces, prefetch_s: float) -> None:
        own = paces.get(kind, UNMEASURED)
        self._paces = paces
        self._count = max(own.lanes, 1)
        self._horizon_s = prefetch_s if own.capacity > 0 else 0.0
        self._tolls: dict[str, tuple[int, float]] = {}
        self._free_in_s = [(0.0, self._count)]
        """A heap: in so many seconds so many lanes are free."""

    @property
    def closed(self) -> bool:
        """Whether no lane is free, nor will be before the horizon. It stays so: chains only push it away."""
        soonest_s = self._free_in_s[0][0]
        return soonest_s > 0 and soonest_s >= self._horizon_s

    def run(self, kind: str, remaining: int) -> None:
        """Let a chain run here, on the lanes that are free first."""
        if self.closed:
            return
        width, steps_per_s = self._toll(kind)
        seconds = remaining / steps_per_s if steps_per_s > 0 else float("inf")
        busy: list[tuple[float, int]] = []
        while width:
            free_in_s, count = self._free_in_s[0]
            used = min(count, width)
            busy.append((free_in_s + seconds, used))
            width -= used
            if used < count:
                self._free_in_s[0] = (free_in_s, count - used)  # less than before, so still the first
            elif width:
                heapq.heappop(self._free_in_s)
            else:
                heapq.heapreplace(self._free_in_s, busy.pop())
        for lanes in busy:
            heapq.heappush(self._free_in_s, lanes)

    def _toll(self, kind: str) -> tuple[int, float]:
        """How many lanes a chain of ``kind`` takes here, and how many of its steps it makes a second in each."""
        if kind not in self._tolls:
            pace = self._paces.get(kind, UNMEASURED)
            width = math.ceil(self._count / max(pace.lanes, 1))
            self._tolls[kind] = (width, pace.capacity * width / self._count)
        return self._tolls[kind]
