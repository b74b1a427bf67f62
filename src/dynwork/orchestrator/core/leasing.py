"""How much work to hand out.

A worker is given chains for all its lanes, plus only what will start within ``prefetch_s``: enough that no lane waits
for the network, so little that a worker which joins now finds work to take. Work is measured in steps against the
worker's own capacity, never in numbers of jobs.

The projection is list scheduling (Graham, 1969): chains go, in order, to the lane that is free first. With all lanes
full each runs at ``capacity / lanes``.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

from dynwork.orchestrator.core.worker import Pace


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

    def __init__(self, pace: Pace, held: Iterable[int], policy: LeasePolicy) -> None:
        """``held``: the steps that remain of each chain it has."""
        lanes = max(pace.lanes, 1)
        self._policy = policy
        self._steps_per_s = pace.capacity / lanes
        self._free_lanes = lanes
        self._busy_until_s: list[float] = []
        self.dealt = 0
        for remaining in held:
            self._run(remaining)

    @property
    def wants(self) -> bool:
        """Whether the next chain would start at once, or within ``prefetch_s``, and the batch is not full."""
        if self.dealt >= self._policy.batch_max:
            return False
        return self._free_lanes > 0 or self._busy_until_s[0] < self._policy.prefetch_s

    def deal(self, remaining: int) -> None:
        """Take one more chain of ``remaining`` steps."""
        self._run(remaining)
        self.dealt += 1

    def _run(self, remaining: int) -> None:
        seconds = remaining / self._steps_per_s if self._steps_per_s > 0 else float("inf")
        if self._free_lanes:
            self._free_lanes -= 1
            heapq.heappush(self._busy_until_s, seconds)
        else:
            heapq.heapreplace(self._busy_until_s, self._busy_until_s[0] + seconds)
