"""Who sweeps and scales: the orchestrator that holds the leadership, a row with an epoch and a deadline in the store.

Renewed every third of its time. What a leader does names the epoch, and the store refuses an old one, so a leader that
was replaced without noticing does no harm. By its own clock it stops acting at the deadline all the same. On SQLite
there is one orchestrator and it simply leads.
"""

from __future__ import annotations

from collections.abc import Callable

from dynwork import logs
from dynwork.clock import Clock
from dynwork.errors import StoreUnavailableError
from dynwork.orchestrator.metrics import Metrics
from dynwork.orchestrator.outages import Outages
from dynwork.orchestrator.store.port import Store

log = logs.get("dynwork.orchestrator.leader")

TTL_S = 6.0
"""A leader that was not heard of for this long may be replaced, seconds: within a third of it more, it is."""


class Leader:
    """This orchestrator's candidacy: :meth:`run` must be running."""

    def __init__(self, store: Store, clock: Clock, metrics: Metrics, outages: Outages, holder: str) -> None:
        """``holder``: a name that no other process has or had."""
        self.holder = holder
        self._store = store
        self._clock = clock
        self._outages = outages
        self._epoch: int | None = None
        self._decision: Callable[[], str | None] = lambda: None
        self._until = clock.monotonic()
        metrics.leading.set_function(self.leads)

    @property
    def epoch(self) -> int | None:
        """The epoch to act under, ``None`` while another leads or nobody knows."""
        return self._epoch if self._clock.monotonic() < self._until else None

    def shows(self, decision: Callable[[], str | None]) -> None:
        """Let every orchestrator know what ``decision`` returns, as long as this one leads."""
        self._decision = decision

    def leads(self) -> bool:
        """Whether this orchestrator is the leader."""
        return self.epoch is not None

    async def run(self) -> None:
        """Take the leadership whenever it is free, and keep it, for ever."""
        while True:
            await self.renew()
            await self._clock.sleep(TTL_S / 3)

    async def renew(self) -> None:
        """Take or keep the leadership now, if that is possible."""
        asked_at = self._clock.monotonic()
        try:
            epoch = await self._store.lead(self.holder, self._clock.now(), TTL_S, self._decision())
        except StoreUnavailableError as error:
            self._outages.met("lead", error)
            return
        self._outages.over()
        if epoch != self._epoch:
            log.info("leader_changed", leading=epoch is not None, epoch=epoch, holder=self.holder)
        self._epoch, self._until = epoch, asked_at + TTL_S

    async def resign(self) -> None:
        """Let another lead at once: the last act of an orchestrator that stops."""
        if not self.leads():
            return
        self._until = self._clock.monotonic()
        try:
            await self._store.lead(self.holder, self._clock.now(), 0.0)
        except StoreUnavailableError as error:  # then it ends at its deadline
            self._outages.met("resign", error)
