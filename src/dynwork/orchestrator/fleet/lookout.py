"""When to ask the provider what there is: its answers may be dear, counted, and late."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dynwork.clock import Clock
from dynwork.errors import FleetDeniedError, FleetError, FleetTemplateError
from dynwork.orchestrator.core.retry import RetryPolicy, delay_s
from dynwork.orchestrator.fleet.provider import Machine, Provider, Trouble

BLIND = RetryPolicy(backoff_s=2.0, backoff_s_max=60.0)
"""After looks that failed: half of this until the next, doubling."""


class Lookout:
    """Asks every ``look_s``; every ``settle_s`` while there is something to see; ever more slowly while it fails."""

    def __init__(self, provider: Provider, clock: Clock, look_s: float, settle_s: float) -> None:
        self._provider = provider
        self._clock = clock
        self._look_s = look_s
        self._settle_s = settle_s
        self._asked_at = -math.inf
        self._failures = 0
        self._failure: FleetError | None = None
        self.expects = True
        """Something is to be seen soon: a machine is to appear, or to go; something failed."""

    async def machines(self) -> Sequence[Machine] | None:
        """Return what there is, ``None`` if it is not time to ask.

        Raises ``FleetError`` if it cannot be told, and as long as that is so.
        """
        if self._clock.monotonic() - self._asked_at < self._pause_s:
            if self._failure is not None:
                raise type(self._failure)(self._failure.detail)  # a fresh one: it would gather tracebacks
            return None
        self._asked_at = self._clock.monotonic()
        try:
            machines = await self._provider.machines()
        except FleetError as error:
            self._failures += 1
            self._failure = error
            raise
        self._failures, self._failure = 0, None
        return machines

    @property
    def trouble(self) -> Trouble | None:
        """Why looks fail, if only a person can mend it."""
        if isinstance(self._failure, (FleetDeniedError, FleetTemplateError)):
            return Trouble(self._failure.code, self._failure.detail)
        return None

    @property
    def _pause_s(self) -> float:
        if self._failures:
            return max(self._settle_s, delay_s(BLIND, self._failures, 0.0))
        return self._settle_s if self.expects else self._look_s
