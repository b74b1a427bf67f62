"""The state of the whole, looked at once a second: requests show what the last look saw, nothing is counted for them.

A look that fails leaves the one before in place and says so: the role is not ready until a look succeeds again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dynwork.clock import Clock
from dynwork.errors import StoreUnavailableError
from dynwork.orchestrator import views
from dynwork.orchestrator.core.instance import Instance
from dynwork.orchestrator.core.worker import Worker, WorkerState
from dynwork.orchestrator.metrics import Metrics
from dynwork.orchestrator.outages import Outages
from dynwork.orchestrator.store.port import Store
from dynwork.orchestrator.store.values import Leadership, Totals

SAMPLE_S = 1.0
"""How often it looks, seconds."""
RATE_WINDOW_S = 10.0
"""Rates are averages over this long, seconds."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one look saw."""

    totals: Totals = field(default_factory=Totals)
    workers: Sequence[Worker] = ()
    instances: Sequence[Instance] = ()
    oldest_wait_s: float = 0.0
    leadership: Leadership | None = None
    rates: views.Rates = field(default_factory=views.Rates)
    outlook: views.Outlook = field(default_factory=views.Outlook)


class Sampler:
    """Keeps the latest :class:`Sample`: :meth:`run` must be running."""

    def __init__(self, store: Store, clock: Clock, metrics: Metrics, outages: Outages) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._outages = outages
        self._history: deque[tuple[float, Totals]] = deque()
        self._listeners: list[Callable[[Sample], None]] = []
        self.latest = Sample()
        self.trouble: str | None = "the store has not been looked at yet"

    def on_sample(self, listener: Callable[[Sample], None]) -> None:
        """Call ``listener`` with every new sample."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await self._clock.sleep(SAMPLE_S)

    async def look(self) -> None:
        """Look once."""
        try:
            self.latest = await self._sample()
        except StoreUnavailableError as error:
            self._outages.met("sample", error)
            self.trouble = f"the store does not answer: {error.detail}"
            return
        self.trouble = None
        self._publish(self.latest)
        for listener in self._listeners:
            listener(self.latest)

    async def _sample(self) -> Sample:
        now = self._clock.now()
        totals, workers = await self._store.totals(), await self._store.workers()
        due = await self._store.next_due(now)
        return Sample(
            totals=totals,
            workers=workers,
            instances=await self._store.instances(),
            oldest_wait_s=max(now - due, 0.0) if due is not None else 0.0,
            leadership=await self._store.leadership(),
            rates=self._rates(totals),
            outlook=views.outlook(totals, workers),
        )

    def _rates(self, totals: Totals) -> views.Rates:
        at = self._clock.monotonic()
        self._history.append((at, totals))
        while self._history[0][0] < at - RATE_WINDOW_S:
            self._history.popleft()
        since, before = self._history[0]
        if at <= since:
            return views.Rates()
        return views.Rates(
            submitted_per_s=(totals.submitted - before.submitted) / (at - since),
            completed_per_s=(totals.completed - before.completed) / (at - since),
        )

    def _publish(self, sample: Sample) -> None:
        totals, metrics = sample.totals, self._metrics
        for state in ("queued", "leased", "succeeded", "dead", "cancelled"):
            metrics.jobs.labels(state).set(getattr(totals, state))
        metrics.backlog_steps.set(totals.backlog_steps)
        backlog_s = sample.outlook.backlog_s
        metrics.backlog_seconds.set(float("nan") if backlog_s is None else backlog_s)
        metrics.oldest_wait_seconds.set(sample.oldest_wait_s)
        for worker_state in WorkerState:
            count = sum(worker.state is worker_state for worker in sample.workers)
            metrics.workers.labels(worker_state.value).set(count)
