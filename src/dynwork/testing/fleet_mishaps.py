"""What goes wrong with calls of EC2 on a bad day, drawn from the day's own numbers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

from dynwork.clock import Clock
from dynwork.testing.ec2 import Mishap

CODES = (
    ("InsufficientInstanceCapacity", 500), ("InsufficientInstanceCapacity", 400), ("RequestLimitExceeded", 503),
    ("VcpuLimitExceeded", 400), ("InternalError", 500), ("UnauthorizedOperation", 403),
)  # fmt: skip
REPLY_LOST, CALL_LOST, LATE, REFUSED, WELL = range(5)
ODDS = {"RunInstances": (15, 3, 5, 20, 57)}
"""How a call goes, in per cent. Launches go wrong more often: what follows a lost reply is where machines get lost."""
ODDS_ELSE = (2, 2, 2, 6, 88)


class Mishaps:
    """Asked before each call; ``counts`` has how often each action was called, and what went wrong."""

    def __init__(self, draw: random.Random, clock: Clock, counts: Counter[str]) -> None:
        self._draw = draw
        self._clock = clock
        self._counts = counts
        self._bad_until = 0.0
        self._reply_lost: set[str | None] = set()
        """The tokens of launches of which nobody heard that they had been made."""
        self.over = False
        """Nothing goes wrong any more."""

    def next(self, action: str, parameters: Mapping[str, Any]) -> Mishap | None:
        """Return what goes wrong with this call."""
        self._counts[action] += 1
        now = self._clock.now()
        if self.over:
            return None
        odds: tuple[int, ...] = ODDS.get(action, ODDS_ELSE)
        if now < self._bad_until:
            odds = odds[:WELL]
        (how,) = self._draw.choices(range(len(odds)), odds)
        if how == WELL:
            return None
        if now >= self._bad_until and self._draw.random() < 0.02:
            self._bad_until = now + self._draw.uniform(60, 900)  # a bad quarter of an hour: everything fails
        self._counts["mishaps"] += 1
        if how == REPLY_LOST:
            self._reply_lost.add(parameters.get("ClientToken"))
            return Mishap(lost=True, delay_s=10.0)
        if how == CALL_LOST:
            return Mishap(lost=True, effect=False)
        if how == LATE:
            return Mishap(delay_s=self._draw.uniform(1, 30))
        self._counts["refused after a lost reply"] += parameters.get("ClientToken") in self._reply_lost - {None}
        return Mishap(0.0, *self._draw.choice(CODES))
