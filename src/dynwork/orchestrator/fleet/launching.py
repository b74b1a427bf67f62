"""How machines are launched, and what each refusal means for the launches after it.

The order is what makes a launch loss-proof: the intent is stored (under the leader's epoch, counted against the
maximum, with the place where it will be asked for), then the provider is called with the instance's id as its token,
then the reply is stored. An intent without a reply is asked for again with the same id in the same place.

    capacity    this place has none: the next place is tried at once; when none is left, wait until one may have
    quota       our own limit: waiting does not help much, so hold for a while, and warn
    throttled   back off, ever longer
    denied, bad template   stop, and say so: no launch can succeed until somebody mends it; looked at again at times
    unclear     it may have taken effect: the intent stays, and is asked for again

Launches that were answered and machines that never were of use count as failures, too: each makes the next wait longer,
until one reports.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from dynwork import logs
from dynwork.clock import Clock
from dynwork.errors import (
    FleetCapacityError,
    FleetDeniedError,
    FleetError,
    FleetQuotaError,
    FleetTemplateError,
    FleetTokenError,
    FleetUnclearError,
)
from dynwork.ids import new_id
from dynwork.orchestrator.core.instance import Gone, Instance, Launched, intent
from dynwork.orchestrator.core.retry import RetryPolicy, delay_s
from dynwork.orchestrator.fleet.provider import Provider, Trouble
from dynwork.orchestrator.metrics import Metrics
from dynwork.orchestrator.store.port import Store

log = logs.get("dynwork.fleet")

BACKOFF = RetryPolicy(backoff_s=2.0, backoff_s_max=120.0)
"""After launches that failed, or machines that ended before they were of use: half of this, doubling."""
QUOTA_HOLD_S = 180.0
"""How long nothing is launched after our limit at the provider was met, seconds."""
STOPPED_S = 300.0
"""How long nothing is launched after a refusal that only a person can mend, seconds."""
AT_ONCE_MAX = 5
"""Launch calls under way at the same time at most."""
AGAIN_MAX = 5
"""How often an intent is asked for again without an answer that is clear."""
CALLS_MAX = 100
"""Launch calls of one tick at most: with many places, each refusal names the next."""


class Launcher:
    """Launches, one leadership after the other; it remembers what failed lately, and nothing else."""

    def __init__(self, store: Store, provider: Provider, clock: Clock, metrics: Metrics | None = None) -> None:
        self._store = store
        self._provider = provider
        self._clock = clock
        self._metrics = metrics
        self._failures = 0
        self._after = 0.0
        self._why = ""
        self._again: Counter[str] = Counter()
        self.forsaken: set[str] = set()
        """Intents that are not asked for again, for it is of no use: their machines appear, or never were."""
        self.trouble: Trouble | None = None
        """Why launches have stopped, if they have."""

    @property
    def hold(self) -> str | None:
        """Say why nothing is launched now, and for how long; ``None`` if nothing keeps from it."""
        left_s = self._after - self._clock.monotonic() if self._why else 0.0
        return f"{self._why}, next in {left_s:.1f} s" if left_s > 0 else None

    async def launch(self, epoch: int, count: int, fleet_max: int) -> None:
        """Launch ``count`` machines, fewer if there is no place for them, or as many as :attr:`hold` lets.

        Raises ``StaleLeaderError``, ``StoreUnavailableError``.
        """
        calls = 0
        while count > 0 and calls < CALLS_MAX and self.hold is None:
            rows = await self._intend(epoch, min(count, AT_ONCE_MAX), fleet_max)
            if not rows:
                break
            async with asyncio.TaskGroup() as tasks:
                asked = [tasks.create_task(self._ask(row)) for row in rows]
            calls += len(rows)
            for row, answer in zip(rows, (task.result() for task in asked), strict=True):
                await self._heed(epoch, row, answer)
                count -= not isinstance(answer, FleetError)

    async def again(self, epoch: int, row: Instance) -> None:
        """Ask for the machine of an intent whose call or reply is missing."""
        if self.hold is not None:
            return
        answer = await self._ask(row)
        if isinstance(answer, FleetError):  # whatever it is: the call before may have taken effect
            self._again[row.instance_id] += 1
            if not isinstance(answer, FleetUnclearError) or self._again[row.instance_id] >= AGAIN_MAX:
                self.forsaken.add(row.instance_id)
            self._note(row, answer)
            self._decide(answer)
            return
        await self._heed(epoch, row, answer)

    def over(self, instance_id: str) -> None:
        """The intent has become a machine, or nothing."""
        self.forsaken.discard(instance_id)
        del self._again[instance_id]

    def reported(self) -> None:
        """A machine has become of use: failures count anew."""
        self._failures = 0

    def failed(self, why: str) -> None:
        """A launch failed, or a machine never was of use: the next waits longer."""
        self._failures += 1
        times = f"{self._failures} launch{'' if self._failures == 1 else 'es'} failed in a row"
        self._wait(f"{times} ({why})", delay_s(BACKOFF, self._failures, 0.0))

    async def _intend(self, epoch: int, count: int, fleet_max: int) -> list[Instance]:
        rows: list[Instance] = []
        for _ in range(count):
            try:
                placement = self._provider.place()
            except FleetCapacityError as error:
                self._wait(f"capacity: {error.detail}", error.retry_after_s or BACKOFF.backoff_s)
                break
            now = self._clock.now()
            row = await self._store.intend(epoch, intent(new_id(), now, placement), fleet_max)
            if row is None:
                break
            rows.append(row)
        return rows

    async def _ask(self, row: Instance) -> str | FleetError:
        try:
            return await self._provider.launch(row.instance_id, row.placement)
        except FleetError as error:
            return error

    async def _heed(self, epoch: int, row: Instance, answer: str | FleetError) -> None:
        if isinstance(answer, str):
            self._count("launched")
            self.trouble = None
            self.over(row.instance_id)
            await self._store.instance_event(epoch, row.instance_id, Launched(answer), self._clock.now())
            log.info("machine_launched", instance_id=row.instance_id, provider_id=answer, placement=row.placement)
            return
        self._note(row, answer)
        self._decide(answer)
        if isinstance(answer, FleetTokenError):
            self.forsaken.add(row.instance_id)
        elif not isinstance(answer, FleetUnclearError):  # else it may exist: the intent stays, and is asked for again
            reason = f"{answer.code}: {answer.detail}"
            await self._store.instance_event(epoch, row.instance_id, Gone(reason), self._clock.now())

    def _note(self, row: Instance, error: FleetError) -> None:
        self._count(error.code)
        where = {"instance_id": row.instance_id, "placement": row.placement}
        log.warning("launch_failed", code=error.code, detail=error.detail, **where)

    def _decide(self, error: FleetError) -> None:
        match error:
            case FleetCapacityError():
                try:
                    self._provider.place()
                except FleetCapacityError as none:
                    self._wait(f"capacity: {none.detail}", none.retry_after_s or BACKOFF.backoff_s)
            case FleetQuotaError():
                self.trouble = Trouble(error.code, error.detail)
                self._wait(f"quota: {error.detail}", QUOTA_HOLD_S)
            case FleetDeniedError() | FleetTemplateError():
                self.trouble = Trouble(error.code, error.detail)
                self._wait(f"stopped, {self.trouble}", STOPPED_S)
            case _:
                self.failed(f"{error.code}: {error.detail}")

    def _wait(self, why: str, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        if self.hold is None or until > self._after:
            self._why, self._after = why, until

    def _count(self, outcome: str) -> None:
        if self._metrics is not None:
            self._metrics.launches.labels(outcome).inc()
