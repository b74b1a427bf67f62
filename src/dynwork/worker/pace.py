"""How fast this worker is, as it measures itself, kind by kind. Pure.

Two rates of a kind go to the orchestrator, in steps per second: ``capacity``, all lanes of the worker full, and
``chain_speed``, one chain alone in its group. They follow, as moving averages, what *full* slices show: the time was
used up and there were chains for every lane to its end. A single lane is full as long as it runs. For the capacity all
groups must have been busy, because cores share caches, heat and clocks; but the first full slice of a kind counts in
any case, for an orchestrator that knows nothing can only guess. The default kind is calibrated at the start; another
has no rates until it was measured.

Jobs may be too short for a slice to be full ever, or to be measured well. Of a kind not measured yet a slice counts
that began with a chain for every lane, however short it was: too low a rate, if anything, but with a rate more is
handed out ahead, and slices become full. Without one it would stay unmeasured for ever: a job a lane, and then an ask.

At home a third figure serves: what one group makes of a kind. Until a full slice has shown it, any slice is a hint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from dynwork.kinds import DEFAULT_KIND
from dynwork.wire import KindPace

WEIGHT = 0.2
"""Weight of the newest slice in a moving average: a change shows after about five slices."""

SECONDS_MIN = 0.001
"""Shorter slices measure the clock more than the work, seconds; better than nothing they are."""

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
    def used_up(self) -> bool:
        """Whether the time was used up: chains, not their end, set the pace."""
        return self.unfinished > 0 and self.seconds >= FULL * self.max_seconds

    @property
    def full(self) -> bool:
        """Whether every lane had a chain to the end. One lane has, whenever it runs: chains follow each other."""
        return self.width == 1 or (self.used_up and self.unfinished >= self.width)

    @property
    def filled(self) -> bool:
        """Whether every lane had a chain at the start."""
        return self.chains >= self.width

    @property
    def alone(self) -> bool:
        """Whether one chain had the group for itself; lanes of width 1 never share it."""
        return self.width == 1 or (self.used_up and self.chains == 1)


@dataclass(slots=True)
class _Rates:
    """Steps per second of one group; 0: not seen yet."""

    full: float = 0.0
    alone: float = 0.0
    hint: float = 0.0


class Pace:
    """The rates of one worker of ``groups`` lane groups. All in steps per second; 0 until measured."""

    def __init__(self, groups: int, widths: Mapping[str, int], default: str = DEFAULT_KIND) -> None:
        """``widths``: the lanes that one group has for each kind; ``default``: the kind that is calibrated."""
        self._groups = groups
        self._widths = widths
        self._default = default
        self._rates = {kind: _Rates() for kind in widths}

    @property
    def capacity(self) -> float:
        """All lanes full of the default kind."""
        return self._groups * self._rates[self._default].full

    @property
    def chain_speed(self) -> float:
        """One chain of the default kind."""
        return self._rates[self._default].alone

    @property
    def calibrated(self) -> bool:
        """Whether the start's measurement is done."""
        return self.chain_speed > 0

    def told(self) -> dict[str, KindPace]:
        """Return what the orchestrator is told. A chain never seen alone is as fast as one lane of a full group."""
        return {
            kind: KindPace(
                capacity=self._groups * rates.full,
                chain_speed=rates.alone or rates.full / self._widths[kind],
                lanes=self._groups * self._widths[kind],
            )
            for kind, rates in self._rates.items()
        }

    def calibrate(self, full: Sequence[float], alone: Sequence[float]) -> None:
        """Take the start's measurement: each group with its lanes full, and each with one chain, all groups at once."""
        rates = self._rates[self._default]
        rates.full, rates.alone = fmean(full), median(alone)

    def group_speed(self, kind: str) -> float:
        """What one group makes of this kind with its lanes full; of one never seen, what it makes of the default."""
        rates = self._rates[kind]
        return rates.full or rates.hint or self._rates[self._default].full

    def alone_speed(self, kind: str) -> float:
        """What one group makes of one chain of this kind; of one never seen alone, what it makes in a lane of many."""
        return self._rates[kind].alone or self.group_speed(kind) / self._widths[kind]

    def share_s(self, kind: str, remaining: int, horizon_s: float) -> float:
        """Return how much of one group a chain takes within ``horizon_s``, in seconds of the whole group.

        A chain takes one lane until it ends, so at most ``horizon_s`` divided by the lanes: a group has work for the
        whole time when the shares of its chains come to ``horizon_s``.
        """
        speed, most = self.group_speed(kind), horizon_s / self._widths[kind]
        return min(remaining / speed, most) if speed else most

    def learn(self, seen: Seen) -> None:
        """Follow a slice."""
        rates = self._rates[seen.kind]
        if seen.seconds <= 0 or (seen.seconds < SECONDS_MIN and rates.full):
            return
        speed = min(seen.steps / seen.seconds, RATE_MAX / self._groups)
        rates.hint = _moved(rates.hint, speed)
        if (seen.full and seen.all_busy) or (seen.filled and not rates.full):
            rates.full = _moved(rates.full, speed)
        if seen.alone:
            rates.alone = _moved(rates.alone, speed)


def _moved(average: float, newest: float) -> float:
    return average + WEIGHT * (newest - average) if average else newest
