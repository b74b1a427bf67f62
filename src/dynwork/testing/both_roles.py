"""An API and an orchestrator over a real store, on an event loop in a thread: for tests that call over a real socket.

Beside them works a worker of one coroutine that computes nothing: what becomes of a job is told by its iterations, so
that there can be jobs in every state (:data:`STATES_BY_ITERATIONS`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from dynwork import kinds, wire
from dynwork.api import app as api_app
from dynwork.api import role as api_role
from dynwork.clock import DisciplinedClock, SystemClock
from dynwork.ids import new_id
from dynwork.orchestrator import role as orchestrator_role
from dynwork.orchestrator.store.port import Store
from dynwork.orchestrator.store.values import Rules
from dynwork.orchestrators import Orchestrators
from dynwork.serving import Stop, bind, url_of
from dynwork.settings import ApiSettings, OrchestratorSettings
from dynwork.testing.waiting import wait_until

READY_S = 20.0
LANES = 64
STATES_BY_ITERATIONS = {"succeeded": 3, "dead": 4, "leased": 5, "cancelled": 5}
"""How many iterations make a job end, or stay, in a state; one that is to be cancelled must be: see :func:`_fate`."""


@contextmanager
def both_roles(store_over: Callable[[Rules], Store], **api: Any) -> Iterator[str]:
    """Run them, the API with the settings ``api``; yield its URL when it is ready. Jobs die at their first failure.

    ``store_over`` makes the store, in the thread.
    """
    stop: Stop | None = None
    loop = asyncio.new_event_loop()
    listeners = bind("127.0.0.1", 0), bind("127.0.0.1", 0)
    url, orchestrator_url = map(url_of, listeners)
    settings = ApiSettings(**{"orchestrator_urls": (orchestrator_url,), **api})

    async def serve() -> None:
        nonlocal stop
        stop = Stop()
        clock = SystemClock()
        rules = OrchestratorSettings(attempts_max=1, fleet_provider="none")
        store = store_over(orchestrator_role.rules(rules))
        outside = orchestrator_role.Outside(store, DisciplinedClock(SystemClock()), lambda: 0.5, new_id, alone=True)
        async with httpx.AsyncClient(timeout=60) as http, asyncio.TaskGroup() as tasks:
            orchestrators = Orchestrators(settings.orchestrator_urls, http, None, clock, lambda: 0.5)
            tasks.create_task(orchestrator_role.run(rules, outside, listeners[1], stop))
            given = api_app.Outside(orchestrators, clock, new_id, kinds.named)
            tasks.create_task(api_role.run(settings, given, listeners[0], stop))
            working = tasks.create_task(_work(http, orchestrator_url))
            await stop.wait()
            working.cancel()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="both-roles")
    thread.start()
    try:
        wait_until(lambda: _is_ready(url), "both roles ready", READY_S)
        yield url
    finally:
        if stop is not None:
            loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.HTTPError:
        return False


async def _work(http: httpx.AsyncClient, url: str) -> None:
    worker = {"worker_id": "idle-hands", "incarnation": "1"}
    held: list[wire.HeldRef] = []
    while True:
        ask = wire.LeaseAsk(**worker, capacity=1e15, chain_speed=1e15, lanes=LANES, holding=held, wait_s=5)
        response = await http.post(f"{url}/internal/lease", content=ask.model_dump_json())
        grants = wire.LeaseReply.model_validate_json(response.content).grants
        held += [wire.HeldRef(job_id=job.job_id, epoch=job.epoch) for job in grants if _fate(job) == "leased"]
        report = wire.ReportAsk(
            **worker,
            completed=[
                wire.Checkpoint(job_id=job.job_id, epoch=job.epoch, state=job.state, done=job.total)
                for job in grants
                if _fate(job) == "succeeded"
            ],
            failed=[
                wire.Failure(job_id=job.job_id, epoch=job.epoch, code="broken", detail="an even number")
                for job in grants
                if _fate(job) == "dead"
            ],
        )
        await http.post(f"{url}/internal/report", content=report.model_dump_json())


def _fate(job: wire.LeasedJob) -> str:
    if job.total % 5 == 0:
        return "leased"
    return "succeeded" if job.total % 2 else "dead"
