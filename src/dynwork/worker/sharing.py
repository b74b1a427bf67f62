"""How chains are spread over lane groups when there are few of them. Pure.

One chain alone makes about twice the speed of one lane among several: the kernel then takes the scalar path. So every
group has one chain before any has two; and what is more goes where others are already, because the second chain of a
group adds next to nothing, and each after it a lane. A group whose slice has ended hands chains to another when both
together are faster by that.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Speeds:
    """What a group makes of one kind, in steps per second: all ``width`` lanes full, and one chain alone."""

    width: int
    full: float
    alone: float

    def of(self, chains: int) -> float:
        """Return what a group makes of so many long chains."""
        return self.alone if chains == 1 else self.lane * min(chains, self.width)

    @property
    def lane(self) -> float:
        """One lane among several."""
        return self.full / self.width


def better_there(here: int, there: int, speeds: Speeds) -> int:
    """Return how many of ``here`` long chains should go to a group that has ``there``.

    As few as make both groups together fastest. That must gain half a lane at least, since measured speeds waver and
    chains must not wander to and fro; but an idle group gets one in any case.
    """
    together = [speeds.of(here - moved) + speeds.of(there + moved) for moved in range(max(here, 1))]
    best = together.index(max(together))
    if there == 0 and here > 1:
        return max(best, 1)
    return best if together[best] - together[0] >= speeds.lane / 2 else 0


def fair_share(waiting: int, here: int, idle: int, width: int) -> int:
    """Return how many of ``waiting`` chains a group of ``width`` lanes may take that has ``here`` in progress.

    ``idle`` other groups have nothing to do: of few chains each of them is left one, of many an equal part.
    """
    few = min(width - here, waiting - idle)
    many = waiting // (1 + idle)
    return max(few, many, 0 if here else 1)
