"""An API instance under test: the real application, its real way to the orchestrators, and fake ones at the far end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from dynwork import kinds
from dynwork.api.app import Api, Outside, build
from dynwork.ids import new_id
from dynwork.kinds import Kind
from dynwork.orchestrators import Orchestrators
from dynwork.serving import Stop, bind, serve
from dynwork.settings import ApiSettings
from dynwork.testing.clock import FakeClock
from dynwork.testing.orchestrators import FakeOrchestrators

ONE = "http://one:8100"
TWO = "http://two:8100"
TOKEN = "token-of-the-api-role"  # noqa: S105 - it opens nothing


@dataclass(frozen=True, slots=True)
class ApiBench:
    """``client`` calls the app without a network; ``clock`` moves only when advanced; ``stop`` ends a server."""

    api: Api
    client: httpx.AsyncClient
    far: FakeOrchestrators
    clock: FakeClock
    stop: Stop

    @property
    def app(self) -> FastAPI:
        """The application."""
        return self.api.app

    async def metric(self, name: str, **labels: str) -> float:
        """Return the value of a metric as ``/metrics`` shows it; 0 if it was never touched."""
        page = (await self.client.get("/metrics")).text
        samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
        return sum(sample.value for sample in samples if sample.name == name and sample.labels == labels)


@asynccontextmanager
async def api_instance(
    far: FakeOrchestrators, kind_named: Callable[[str], Kind] = kinds.named, *, sending: bool = True, **settings: Any
) -> AsyncGenerator[ApiBench]:
    """Run an API instance with ``settings``, which asks ``ONE`` first; ``sending=False``: nothing runs beside it."""
    clock = FakeClock()
    given = ApiSettings(**{"orchestrator_urls": (ONE, TWO), "api_token": TOKEN, **settings})
    async with httpx.AsyncClient(transport=far) as http, asyncio.TaskGroup() as tasks:
        orchestrators = Orchestrators(given.orchestrator_urls, http, given.api_token, clock, lambda: 0.0)
        api = build(given, Outside(orchestrators, clock, new_id, kind_named))
        running = [tasks.create_task(run()) for run in api.background] if sending else []
        transport = httpx.ASGITransport(api.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            yield ApiBench(api, client, far, clock, Stop())
        for task in running:
            task.cancel()


@asynccontextmanager
async def api_listening(far: FakeOrchestrators, **options: Any) -> AsyncGenerator[tuple[ApiBench, int]]:
    """Run an API instance behind a real uvicorn; yield it and its port. At the end it is stopped, and must end."""
    listener = bind("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    async with api_instance(far, sending=False, **options) as bench, asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(bench.app, listener, bench.stop, bench.api.background))
        yield bench, port
        bench.stop.set()
