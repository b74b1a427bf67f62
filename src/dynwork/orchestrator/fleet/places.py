"""Places where machines can be had, in order of preference; one that had none to give is set aside for a while."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dynwork.clock import Clock
from dynwork.errors import FleetCapacityError


class Places:
    """Which place to ask next. What is remembered is lost with the process, at the cost of a few refusals."""

    def __init__(self, names: Sequence[str], clock: Clock, aside_s: float) -> None:
        """``names``: the best first; ``aside_s``: how long one that refused is not asked, seconds."""
        self._names = tuple(names)
        self._clock = clock
        self._aside_s = aside_s
        self._until: dict[str, float] = {}

    def best(self) -> str:
        """Return the first that is not set aside. Raises ``FleetCapacityError`` if all are, and says for how long."""
        now = self._clock.monotonic()
        for name in self._names:
            if self._until.get(name, now) <= now:
                return name
        left_s = min(self._until.values()) - now
        where = "the only place" if len(self._names) == 1 else f"any of {len(self._names)} places"
        raise FleetCapacityError(f"no machine was to be had in {where}", retry_after_s=left_s)

    def refused(self, names: Iterable[str]) -> None:
        """These have none to give just now."""
        until = self._clock.monotonic() + self._aside_s
        self._until.update((name, until) for name in names if name in self._names)
