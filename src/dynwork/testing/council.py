"""Several orchestrators in one process and in virtual time, over one store and one wire; each can be hurt by itself.

async with council("a", "b") as orchestrators:
    await orchestrators.submit("a", 1)
    orchestrators.kill("a")                 # kill -9: connections break, nothing is said any more
    orchestrators.pause("b")                # SIGSTOP: it neither runs nor answers; resume("b") is SIGCONT
    orchestrators.cut("b")                  # its connection to the store; mend("b")

Each has the store's time from the store alone: its own clock may be wrong (``off_s``).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import httpx

from dynwork import wire
from dynwork.clock import Clock, DisciplinedClock, Instant
from dynwork.errors import StoreUnavailableError
from dynwork.orchestrator.role import Orchestrator, Outside, rules
from dynwork.orchestrator.store.memory import MemoryStore
from dynwork.orchestrator.store.port import Store
from dynwork.orchestrator.store.values import News
from dynwork.orchestrators import Orchestrators
from dynwork.serving import Stop
from dynwork.settings import OrchestratorSettings
from dynwork.testing.clock import FakeClock
from dynwork.testing.orchestrator import lease_message, new_job

ReplyT = TypeVar("ReplyT", bound=wire.Reply)


class Health:
    """What is wrong with one orchestrator."""

    def __init__(self) -> None:
        self.runs = asyncio.Event()
        self.runs.set()
        self.dead = asyncio.Event()
        self.cut = False


class OwnClock:
    """The clock of one machine: ``off_s`` seconds ahead of the true time; its sleepers do not wake while it stands."""

    def __init__(self, true: FakeClock, health: Health, off_s: float) -> None:
        self._true = true
        self._health = health
        self.off_s = off_s

    def now(self) -> Instant:
        """See :meth:`dynwork.clock.Clock.now`."""
        return self._true.now() + self.off_s

    def monotonic(self) -> float:
        """See :meth:`dynwork.clock.Clock.monotonic`."""
        return self._true.monotonic() + self.off_s

    async def sleep(self, seconds: float) -> None:
        """See :meth:`dynwork.clock.Clock.sleep`."""
        await self._true.sleep(seconds)
        await self._health.runs.wait()


class Connection:
    """The store as one orchestrator reaches it: every method of :class:`Store`, through what may be cut or stand."""

    def __init__(self, store: MemoryStore, health: Health, clock: Clock) -> None:
        self._store = store
        self._health = health
        self._clock = clock
        self.calls: list[str] = []
        self.ahead_s = 0.0
        """By how much the store's clock has jumped, as this orchestrator sees it, seconds."""

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*args: object) -> object:
            self.calls.append(name)
            await self._passes()
            answer = await getattr(self._store, name)(*args)
            await self._passes()
            return answer

        return call

    async def time(self) -> Instant:
        """See :meth:`Store.time`."""
        await self._passes()
        return self._clock.now() + self.ahead_s

    async def listen(self, heed: Callable[[News], None]) -> None:
        """See :meth:`Store.listen`."""
        await self._store.listen(lambda news: None if self._health.cut else heed(news))

    async def _passes(self) -> None:
        await self._health.runs.wait()
        if self._health.cut:
            raise StoreUnavailableError("the connection to the store is cut", retry_after_s=1)


class Seat:
    """One orchestrator of a council."""

    def __init__(self, council: Council, url: str, off_s: float) -> None:
        self.url = url
        self.health, self.stop = Health(), Stop()
        self.clock = OwnClock(council.clock, self.health, off_s)
        self.connection = Connection(council.store, self.health, council.clock)
        self.disciplined = DisciplinedClock(self.clock)
        outside = Outside(cast(Store, self.connection), self.disciplined, lambda: 0.5, council.new_id)
        self.orchestrator = Orchestrator(council.settings, outside, self.url)
        self.tasks: list[asyncio.Task[None]] = []

    async def serve(self, request: httpx.Request) -> httpx.Response:
        """Answer one request, if and when that is possible."""
        if self.health.dead.is_set():
            raise httpx.ConnectError("connection refused", request=request)
        async with asyncio.TaskGroup() as tasks:
            answer = tasks.create_task(self._answer(request))
            broken = tasks.create_task(_wait(self.health.dead))
            await asyncio.wait((answer, broken), return_when=asyncio.FIRST_COMPLETED)
            broken.cancel()
            if not answer.done():
                answer.cancel()
        if answer.cancelled():
            raise httpx.ReadError("connection reset", request=request)
        return answer.result()

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        await self.health.runs.wait()
        response = await httpx.ASGITransport(self.orchestrator.app).handle_async_request(request)
        content = await response.aread()
        await self.health.runs.wait()
        return httpx.Response(response.status_code, headers=response.headers, content=content)


class Council(httpx.AsyncBaseTransport):
    """The orchestrators, by name, and the wire to them: a transport for httpx."""

    def __init__(self, settings: OrchestratorSettings, tasks: asyncio.TaskGroup) -> None:
        self.settings = settings
        self.clock = FakeClock()
        self.store = MemoryStore(rules(settings))
        self.seats: dict[str, Seat] = {}
        self.urls: dict[str, str] = {}
        self.http = httpx.AsyncClient(transport=self)
        self.answered: Counter[str] = Counter()
        """How many requests each has answered, whatever it said."""
        self._tasks = tasks
        self._ids = 0

    def new_id(self) -> str:
        """Return a name that nobody has or had."""
        self._ids += 1
        return f"id-{self._ids}"

    # -- what befalls them
    async def start(self, name: str, off_s: float = 0.0) -> Seat:
        """Start an orchestrator; ``off_s``: how far its machine's clock is ahead, seconds."""
        url = self.urls.setdefault(name, f"http://127.0.0.1:{8100 + len(self.urls)}")
        seat = self.seats[name] = Seat(self, url, off_s)
        await seat.orchestrator.begin()
        seat.tasks = [self._tasks.create_task(job()) for job in seat.orchestrator.background(seat.stop)]
        await self.clock.settle()
        return seat

    async def stop(self, name: str) -> None:
        """Let one end in order."""
        self.seats[name].stop.set()
        await self.clock.settle()
        self.kill(name)
        await self.seats[name].orchestrator.end()

    def kill(self, name: str) -> None:
        """kill -9."""
        self.seats[name].health.dead.set()
        for task in self.seats[name].tasks:
            task.cancel()

    def pause(self, name: str) -> None:
        """SIGSTOP."""
        self.seats[name].health.runs.clear()

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self.seats[name].health.runs.set()

    def cut(self, name: str) -> None:
        """Cut its connection to the store."""
        self.seats[name].health.cut = True

    def mend(self, name: str) -> None:
        """Restore its connection to the store."""
        self.seats[name].health.cut = False

    # -- who talks to them
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See :class:`httpx.AsyncBaseTransport`."""
        (name,) = (name for name, url in self.urls.items() if url == f"http://127.0.0.1:{request.url.port}")
        response = await self.seats[name].serve(request)
        self.answered[name] += 1
        return response

    def caller(self, *names: str, uniform: Callable[[], float] = lambda: 0.0) -> Orchestrators:
        """Return what an API or a worker calls through, told of these to begin with; ``uniform`` as there."""
        return Orchestrators([self.urls[name] for name in names], self.http, None, self.clock, uniform)

    async def call(self, name: str, path: str, reply: type[ReplyT], message: wire.Wire) -> ReplyT:
        """POST ``message`` to one of them; the answer must be a success."""
        response = await self.http.post(self.urls[name] + path, content=message.model_dump_json(), timeout=None)
        assert response.status_code == 200, response.text
        return reply.model_validate_json(response.content)

    async def submit(self, name: str, *numbers: int, total: int = 100) -> wire.SubmitReply:
        """Submit test jobs to one of them."""
        jobs = wire.Submit(jobs=[new_job(number, total) for number in numbers])
        return await self.call(name, "/internal/submit", wire.SubmitReply, jobs)

    async def lease(self, name: str, worker_id: str, wait_s: float = 0) -> wire.LeaseReply:
        """Let a worker ask one of them for work."""
        return await self.call(name, "/internal/lease", wire.LeaseReply, lease_message(worker_id, wait_s=wait_s))

    @property
    def leaders(self) -> list[str]:
        """Who believes to lead."""
        return [name for name, seat in self.seats.items() if seat.orchestrator.leader.leads()]


@asynccontextmanager
async def council(*names: str, **variables: object) -> AsyncIterator[Council]:
    """Run orchestrators of these names, with these settings."""
    async with asyncio.TaskGroup() as tasks:
        them = Council(OrchestratorSettings.model_validate(variables), tasks)
        try:
            for name in names:
                await them.start(name)
            yield them
        finally:
            for name in them.seats:
                them.kill(name)


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
