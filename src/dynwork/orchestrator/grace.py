"""When nothing may expire: within one lease time of the start, of a stall of our own, and of the store coming back.

After any of these a worker may be well and yet look silent, because nobody could hear it. One lease time later every
living worker has been heard of again. A clock that jumps forward, to catch up with the store's, is as good as a stall;
while it is ahead, nothing expires either.
"""

from __future__ import annotations

from dynwork.clock import Clock
from dynwork.orchestrator.core.leasing import LeasePolicy


class Grace:
    """Built at the start, which is the first reason for grace. All durations in seconds of the monotonic clock."""

    def __init__(self, clock: Clock, leasing: LeasePolicy) -> None:
        self._clock = clock
        self._lease_s = leasing.lease_s
        self._until = clock.monotonic() + leasing.lease_s
        self._looked_at = clock.monotonic()
        self._clock_off = False
        self.store_away = False

    def lasts(self) -> bool:
        """Whether nothing may expire now."""
        return self.store_away or self._clock_off or self._clock.monotonic() < self._until

    def look(self, planned_s: float) -> float:
        """Note that we run, ``planned_s`` after the last look if all is well; return how much later it is, seconds."""
        now = self._clock.monotonic()
        late_s = max(now - self._looked_at - planned_s, 0.0)
        self._looked_at = now
        if self.is_stall(late_s):
            self._begin()
        return late_s

    def is_stall(self, late_s: float) -> bool:
        """Whether being that late means that the process, or its machine, stood still: a third of a lease time."""
        return late_s > self._lease_s / 3

    def clock_was_off(self, ahead_s: float) -> bool:
        """Note how far our clock was ahead of the store's just now, seconds; say whether that is too much."""
        self._clock_off = self.is_stall(abs(ahead_s))
        if self.is_stall(-ahead_s):
            self._begin()
        return self._clock_off

    def store_failed(self) -> None:
        """The store did not serve: from now on until :meth:`store_served`, and one lease time more, nothing expires."""
        self.store_away = True

    def store_served(self) -> None:
        """The store has just committed something, whoever wrote it."""
        if self.store_away:
            self.store_away = False
            self._begin()

    def _begin(self) -> None:
        self._until = self._clock.monotonic() + self._lease_s
