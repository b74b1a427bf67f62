"""How fast this worker is, as it measures itself. Pure.

Two rates go to the orchestrator, per worker, in steps per second: ``capacity``, all lanes full, and ``chain_speed``,
one chain alone. Both are calibrated at the start and then follow, as moving averages, what *full* slices show: the time
was used up and there were still chains for every lane; for the capacity all groups must have been busy, because cores
share caches, heat and clocks. A third figure stays at home: the speed of one group per kind, which sizes its batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

WEIGHT = 0.2
"""Weight of the newest slice in a moving average: a change shows after about five slices, a quarter of a second."""

SECONDS_MIN = 0.001
"""Shorter slices measure the clock more than the work."""

RATE_MAX = 1e15
"""Faster is not believed, and could not be told: a kind may count its steps as it likes. Steps per second."""

FULL = 0.9
"""Share of the time budget that a full slice has used at least."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One slice, as measured: ``chains`` went in, ``unfinished`` have work left. ``width``: lanes of the kind."""

    kind: str
    chains: int
    unfinished: int
    width: int
    steps: int
    seconds: float
    max_seconds: float
    all_busy: bool

    @property
    def full(self) -> bool:
        """Whether the slice shows what the group can do."""
        return self.unfinished >= self.width and self.seconds >= FULL * self.max_seconds


class Pace:
    """The rates of one worker. All in steps per second; 0 until calibrated."""

    def __init__(self, groups: int) -> None:
        self._groups = [0.0] * groups
        self._by_kind: dict[str, float] = {}
        self.chain_speed = 0.0

    @property
    def capacity(self) -> float:
        """All lanes full."""
        return sum(self._groups)

    @property
    def calibrated(self) -> bool:
        """Whether the start's measurement is done."""
        return self.chain_speed > 0

    def calibrate(self, full: Sequence[float], alone: Sequence[float]) -> None:
        """Take the start's measurement: each group with its lanes full, and each with one chain, all groups at once."""
        self._groups = list(full)
        self.chain_speed = median(alone)

    def group_speed(self, kind: str) -> float:
        """What one group makes of this kind; of one never seen, what it makes on average."""
        return self._by_kind.get(kind) or self.capacity / len(self._groups)

    def learn(self, group: int, seen: Seen) -> None:
        """Follow a slice. ``group`` is the index of the group that made it."""
        if seen.seconds < SECONDS_MIN:
            return
        speed = min(seen.steps / seen.seconds, RATE_MAX / len(self._groups))
        self._by_kind[seen.kind] = _moved(self.group_speed(seen.kind), speed)
        if not seen.full:
            return
        if seen.all_busy:
            self._groups[group] = _moved(self._groups[group], speed)
        if seen.width == 1 or seen.chains == 1:
            self.chain_speed = _moved(self.chain_speed, speed)


def _moved(average: float, newest: float) -> float:
    return average + WEIGHT * (newest - average)
