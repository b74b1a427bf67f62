"""The pools of machines: a market, an instance type, a subnet (and with it a zone). Pure but for the clock in it.

Spot comes first, for all types and subnets in the order of preference: a type is looked for in every zone before the
next type is. After several refusals in a row no more of spot is tried for a while: on-demand machines are dearer, but
they come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from dynwork.clock import Clock
from dynwork.orchestrator.fleet.places import Places

SPOT, ON_DEMAND = "spot", "on-demand"
ASIDE_S = 180.0
"""How long a pool that had no machine is not asked, seconds."""
SPOT_REFUSALS_MAX = 3
"""Refusals of spot in a row after which all of it is set aside."""

UNCLEAR_MAX = 3
"""Answers in a row that were none, after which a pool is set aside."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Where one machine is asked for."""

    market: str
    instance_type: str
    subnet: str

    def __str__(self) -> str:
        return f"{self.market}/{self.instance_type}/{self.subnet}"

    @classmethod
    def parse(cls, placement: str) -> Self:
        """Read what ``str`` wrote. Raises ``ValueError``."""
        market, instance_type, subnet = placement.split("/")
        return cls(market, instance_type, subnet)


def pools(markets: Sequence[str], instance_types: Sequence[str], subnets: Sequence[str]) -> list[Pool]:
    """Return every pool, the best first."""
    return [Pool(market, name, subnet) for market in markets for name in instance_types for subnet in subnets]


class Pools:
    """Which pool to ask next."""

    def __init__(self, in_order: Sequence[Pool], clock: Clock) -> None:
        self._places = Places([str(pool) for pool in in_order], clock, ASIDE_S)
        self._spot = [str(pool) for pool in in_order if pool.market == SPOT]
        self._count = len(in_order)
        self._spot_refusals = 0
        self._unclear: Counter[str] = Counter()

    def best(self) -> str:
        """Return the placement to ask for. Raises ``FleetCapacityError`` while every pool is set aside."""
        return self._places.best()

    def refused(self, placement: str) -> None:
        """The pool had no machine."""
        self._places.refused([placement])
        if placement in self._spot:
            self._spot_refusals += 1
            if self._spot_refusals >= SPOT_REFUSALS_MAX:
                self._places.refused(self._spot)

    def without_spot(self, placement: str) -> bool:
        """Set all of spot aside, if the placement is of spot and there is anything else; say whether that was done."""
        if placement not in self._spot or len(self._spot) == self._count:
            return False
        self._places.refused(self._spot)
        return True

    def unclear(self, placement: str) -> None:
        """The pool gave no clear answer; several in a row, and it is set aside."""
        self._unclear[placement] += 1
        if self._unclear[placement] >= UNCLEAR_MAX:
            self._places.refused([placement])

    def gave(self, placement: str) -> None:
        """The pool had one."""
        self._unclear[placement] = 0
        if placement in self._spot:
            self._spot_refusals = 0
