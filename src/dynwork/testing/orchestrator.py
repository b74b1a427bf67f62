"""An orchestrator for tests: a store with scripted faults, a clock that can stall, everything in one process.

:func:`running` puts the real parts together over them; :class:`Bench` is what a test holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from dynwork import wire
from dynwork.clock import DisciplinedClock
from dynwork.errors import StoreUnavailableError
from dynwork.orchestrator.core.job import Chain, Instant, Submission
from dynwork.orchestrator.core.worker import Pace, WorkerFacts
from dynwork.orchestrator.role import Orchestrator, Outside, rules
from dynwork.orchestrator.store.commands import Ask, Held, Receipt, Round
from dynwork.orchestrator.store.memory import MemoryStore
from dynwork.orchestrator.store.values import Rules, Swept
from dynwork.serving import Stop
from dynwork.settings import OrchestratorSettings
from dynwork.testing.clock import FakeClock

URL = "http://127.0.0.1:8100"
OWNER = "local"
KIND = "sha512-chain"

T = TypeVar("T")
ReplyT = TypeVar("ReplyT", bound=wire.Reply)


class StallClock(FakeClock):
    """A fake clock that can jump: time passes while nobody runs, as when the machine stands still."""

    def stall(self, seconds: float) -> None:
        """Let ``seconds`` pass without waking anyone; sleepers come due late."""
        self._now += seconds


class ScriptedStore(MemoryStore):
    """The reference store, with faults to order. ``rounds`` are those that were tried, good or not."""

    def __init__(self, rules_: Rules) -> None:
        super().__init__(rules_)
        self.rounds: list[Round] = []
        self.away = False
        self.poison: Callable[[Round], bool] = lambda _round: False
        self.open_gate = asyncio.Event()
        self.open_gate.set()
        self.expirations: list[Instant] = []

    async def commit(self, round_: Round, now: Instant) -> Receipt:
        """See :meth:`Store.commit`. Waits at the gate first."""
        self.rounds.append(round_)
        await self.open_gate.wait()
        self._serve()
        if self.poison(round_):
            raise RuntimeError("poison")
        return await super().commit(round_, now)

    async def expire(self, epoch: int, now: Instant, limit: int) -> Swept:
        """See :meth:`Store.expire`."""
        self._serve()
        self.expirations.append(now)
        return await super().expire(epoch, now, limit)

    async def forget(self, epoch: int, before: Instant) -> int:
        """See :meth:`Store.forget`."""
        self._serve()
        return await super().forget(epoch, before)

    async def next_due(self, now: Instant) -> Instant | None:
        """See :meth:`Store.next_due`."""
        self._serve()
        return await super().next_due(now)

    async def lead(self, holder: str, now: Instant, ttl_s: float, decision: str | None = None) -> int | None:
        """See :meth:`Store.lead`."""
        self._serve()
        return await super().lead(holder, now, ttl_s, decision)

    def _serve(self) -> None:
        if self.away:
            raise StoreUnavailableError("the store is away", retry_after_s=1)


def job_id(number: int) -> str:
    """Return the id of test job ``number``."""
    return f"019a0000-0000-7000-8000-{number:012d}"


def submission(number: int, total: int = 100, kind: str = KIND, priority: int = 5) -> Submission:
    """Return test job ``number``: ``total`` steps, the first one done."""
    return Submission(job_id(number), OWNER, None, kind, priority, Chain(bytes([number % 256]) * 8, 1, total))


def ask(worker_id: str, lanes: int = 1, kinds: tuple[str, ...] = (), holding: tuple[Held, ...] = ()) -> Ask:
    """Return an ask of a worker that makes 10 steps a second on each lane, of whatever kind it names."""
    paces = dict.fromkeys(kinds or (KIND,), Pace(10.0 * lanes, 10.0, lanes))
    return Ask(WorkerFacts(worker_id, f"{worker_id}-1", paces, kinds), holding)


def lease_message(worker_id: str, *, wait_s: float = 0, holding: list[wire.HeldRef] | None = None) -> wire.LeaseAsk:
    """Return the message of an ask, as a worker with one lane sends it."""
    return wire.LeaseAsk(
        worker_id=worker_id,
        incarnation=f"{worker_id}-1",
        capacity=10,
        chain_speed=10,
        lanes=1,
        holding=holding or [],
        wait_s=wait_s,
    )


def new_job(number: int, total: int = 100) -> wire.NewJob:
    """Return test job ``number`` as an API hands it over."""
    one = submission(number, total)
    return wire.NewJob(
        job_id=one.job_id, owner=OWNER, kind=one.kind, state=one.chain.state, done=one.chain.done, total=total
    )


@dataclass
class Bench:
    """A running orchestrator. ``stop`` is its stop; :meth:`call` goes through its app."""

    orchestrator: Orchestrator
    store: ScriptedStore
    clock: StallClock
    http: httpx.AsyncClient
    stop: Stop
    helpers: list[asyncio.Task[None]]
    started: list[asyncio.Task[Any]] = field(default_factory=list)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin ``work``. It may fail, which a task group would not bear; what still runs at the end is cancelled."""
        task = asyncio.get_running_loop().create_task(work)
        self.started.append(task)
        return task

    async def end(self) -> None:
        """Cancel what was started and what runs behind the app."""
        for task in (*self.started, *self.helpers):
            task.cancel()
        await asyncio.gather(*self.started, return_exceptions=True)

    async def call(self, path: str, reply: type[ReplyT], message: wire.Wire | None = None) -> ReplyT:
        """POST ``message`` (or GET without one) to an internal route; the answer must be a success."""
        response = await (
            self.http.get(path) if message is None else self.http.post(path, content=message.model_dump_json())
        )
        assert response.status_code == 200, response.text
        return reply.model_validate_json(response.content)

    async def submit(self, *numbers: int, total: int = 100) -> wire.SubmitReply:
        """Submit test jobs."""
        jobs = [new_job(number, total) for number in numbers]
        return await self.call("/internal/submit", wire.SubmitReply, wire.Submit(jobs=jobs))

    async def lease(self, worker_id: str, wait_s: float = 0) -> wire.LeaseReply:
        """Ask for work."""
        return await self.call("/internal/lease", wire.LeaseReply, lease_message(worker_id, wait_s=wait_s))

    async def job(self, number: int) -> wire.JobView:
        """Look at a test job."""
        reply = await self.call(f"/internal/jobs/{job_id(number)}?owner={OWNER}", wire.JobReply)
        return reply.job


@asynccontextmanager
async def running(earlier: Bench | None = None, **variables: object) -> AsyncIterator[Bench]:
    """Run an orchestrator with these settings, in this process and in virtual time, without a server.

    ``earlier``: one that has ended, whose store and clock this one goes on with.
    """
    settings = OrchestratorSettings.model_validate(variables)
    clock = earlier.clock if earlier else StallClock()
    store, stop = earlier.store if earlier else ScriptedStore(rules(settings)), Stop()
    await store.open()
    numbers = iter(range(10**6))
    orchestrator = Orchestrator(
        settings, Outside(store, DisciplinedClock(clock), lambda: 0.5, lambda: f"id-{next(numbers)}"), URL
    )
    transport = httpx.ASGITransport(orchestrator.app)
    async with httpx.AsyncClient(transport=transport, base_url=URL) as http, asyncio.TaskGroup() as tasks:
        helpers = [tasks.create_task(job()) for job in orchestrator.background(stop)]
        bench = Bench(orchestrator, store, clock, http, stop, helpers)
        await clock.settle()
        try:
            yield bench
        finally:
            await bench.end()
            await store.close()
