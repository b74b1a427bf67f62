"""An orchestrator as a worker sees it: a transport for httpx over the reference store, on the test's clock.

It answers the three internal routes of workers exactly as a store decides, parks asks until there is work, and plays
faults that the test scripts per route. What it was sent is kept, in order, for the test to look at.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence

import httpx

from dynwork import ids, wire
from dynwork.clock import Clock, wait_for_event
from dynwork.kinds.sha512_chain import KIND
from dynwork.orchestrator import messages
from dynwork.orchestrator.core.job import Chain, Job, Submission
from dynwork.orchestrator.store.commands import Cancel, Receipt, Round
from dynwork.orchestrator.store.memory import MemoryStore
from dynwork.orchestrator.store.values import Rules
from dynwork.testing.orchestrators import Fault

OWNER = "local"
LEASE, HEARTBEAT, REPORT = "/internal/lease", "/internal/heartbeat", "/internal/report"


class OneOrchestrator(httpx.AsyncBaseTransport):
    """One orchestrator. ``faults[route]`` are used up in order, one a request; ``away`` refuses every connection."""

    def __init__(self, clock: Clock, rules: Rules | None = None) -> None:
        self._clock = clock
        self._rules = rules or Rules()
        self._nudge = asyncio.Event()
        self.changed = asyncio.Event()
        """Set after every round but those of asks; a test that waits clears it first."""
        self.store = MemoryStore(self._rules)
        self.urls = {"o1": "http://o1"}
        self.faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self.away = False
        self.drain = False
        self.received: list[str] = []
        """The routes of all requests."""
        self.asks: list[wire.LeaseAsk] = []
        self.heartbeats: list[wire.HeartbeatAsk] = []
        self.reports: list[wire.ReportAsk] = []
        self.in_flight: defaultdict[str, int] = defaultdict(int)
        self.in_flight_max: defaultdict[str, int] = defaultdict(int)

    # -- what the test does
    async def submit(self, iterations: int, *, priority: int = 5, kind: str = KIND.name, body: bytes = b"") -> str:
        """Queue a job over ``body`` and return its id."""
        starter = KIND.start()
        starter.update(body)
        state, done = starter.finish()
        submission = Submission(ids.new_id(), OWNER, None, kind, priority, Chain(state, done, iterations))
        await self.commit(Round(submissions=[submission]))
        return submission.job_id

    async def cancel(self, job_id: str) -> None:
        """Cancel a job, as its owner would."""
        await self.commit(Round(cancels=[Cancel(OWNER, job_id)]))

    async def job(self, job_id: str) -> Job:
        """Return the job as it stands."""
        job = await self.store.job(OWNER, job_id)
        assert job is not None
        return job

    async def commit(self, round_: Round) -> Receipt:
        """Carry out a round now, and wake who is parked."""
        receipt = await self.store.commit(round_, self._clock.now())
        self.nudge()
        self.changed.set()
        return receipt

    def nudge(self) -> None:
        """Let parked asks look again."""
        self._nudge.set()

    # -- what the worker sees
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Serve one request."""
        route = request.url.path
        self.received.append(route)
        self.in_flight[route] += 1
        self.in_flight_max[route] = max(self.in_flight_max[route], self.in_flight[route])
        try:
            if self.away:
                raise httpx.ConnectError("connection refused", request=request)
            if self.faults[route]:
                return await self.faults[route].popleft()(request, lambda: self._answer(route, request.content))
            return await self._answer(route, request.content)
        finally:
            self.in_flight[route] -= 1

    async def _answer(self, route: str, content: bytes) -> httpx.Response:
        replies = {LEASE: self._lease, HEARTBEAT: self._heartbeat, REPORT: self._report}
        reply = await replies[route](content)
        return httpx.Response(200, content=reply.model_dump_json())

    async def _lease(self, content: bytes) -> wire.LeaseReply:
        message = wire.LeaseAsk.model_validate_json(content)
        self.asks.append(message)
        deadline = self._clock.monotonic() + message.wait_s
        granted: Sequence[Job] = ()
        while not (granted or self.drain):
            self._nudge.clear()
            receipt = await self.store.commit(Round(asks=[messages.ask_of(message)]), self._clock.now())
            granted = receipt.grants[0].grants
            if not granted and not await self._woken(deadline):
                break
        leasing = self._rules.leasing
        return wire.LeaseReply(
            grants=messages.grants(granted),
            drain=self.drain,
            heartbeat_s=leasing.heartbeat_s,
            lease_s=leasing.lease_s,
        )

    async def _woken(self, deadline: float) -> bool:
        """Wait until there may be work: it came, or a retry is due. Say whether that was before the deadline."""
        now = self._clock.now()
        due = await self.store.next_due(now)
        left_s = deadline - self._clock.monotonic()
        if due is None or not now < due < now + left_s:
            return await wait_for_event(self._clock, self._nudge, left_s)
        await wait_for_event(self._clock, self._nudge, due - now)
        return True

    async def _heartbeat(self, content: bytes) -> wire.HeartbeatReply:
        message = wire.HeartbeatAsk.model_validate_json(content)
        self.heartbeats.append(message)
        pulse = (await self.commit(Round(heartbeats=[messages.heartbeat_of(message)]))).pulses[0]
        return wire.HeartbeatReply(
            cancelled=messages.refs(pulse.cancelled),
            stale=messages.refs(pulse.stale),
            grants=messages.grants(pulse.grants),
            drain=pulse.drain or self.drain,
            heartbeat_s=self._rules.leasing.heartbeat_s,
            lease_s=self._rules.leasing.lease_s,
        )

    async def _report(self, content: bytes) -> wire.ReportReply:
        message = wire.ReportAsk.model_validate_json(content)
        self.reports.append(message)
        named = [*message.completed, *message.failed, *message.released]
        receipt = await self.commit(Round(reports=messages.reports_of(message, lambda: 0.0)))
        return wire.ReportReply(
            results=[
                wire.Judged(job_id=one.job_id, epoch=one.epoch, verdict=verdict.value)
                for one, verdict in zip(named, receipt.verdicts, strict=True)
            ]
        )
