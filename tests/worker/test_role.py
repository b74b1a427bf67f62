"""The role as a whole: real lanes, real pages, real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
from structlog.testing import capture_logs

from dynwork.clock import SystemClock
from dynwork.errors import ConfigurationError
from dynwork.ids import new_id
from dynwork.kinds import Kind
from dynwork.kinds.sha512_chain import KIND, Sha512Chain
from dynwork.orchestrator.core.job import JobState
from dynwork.orchestrator.core.retry import RetryPolicy
from dynwork.orchestrator.store.values import Rules
from dynwork.orchestrators import Orchestrators
from dynwork.serving import Stop, bind, url_of
from dynwork.settings import WorkerSettings, child_environment
from dynwork.testing import kinds as test_kinds
from dynwork.testing.kinds import KILLER, RAISER, Raiser, expected
from dynwork.testing.lanes import PLAIN
from dynwork.testing.waiting import wait_until
from dynwork.testing.worker_side import OneOrchestrator
from dynwork.worker import role


class Threaded(Sha512Chain):
    """Said to release the interpreter. No entry point has it: a lane process would not find it."""

    name = "threaded"

    def __init__(self) -> None:
        super().__init__()
        self.releases_gil = True


KINDS = {kind.name: kind for kind in (KIND, KILLER, RAISER, Threaded())}


@pytest.fixture
def orchestrator() -> OneOrchestrator:
    return OneOrchestrator(SystemClock(), Rules(retry=RetryPolicy(attempts_max=2, backoff_s=0.01)))


def worker_settings(**values: object) -> WorkerSettings:
    return WorkerSettings.model_validate({"worker_slots": 2, "worker_calibration_s": 0.02, **values})


@asynccontextmanager
async def running(
    orchestrator: OneOrchestrator, settings: WorkerSettings, kinds: Mapping[str, Kind] = KINDS
) -> AsyncIterator[httpx.AsyncClient]:
    """Run the role in this process; give a client of its pages."""
    clock, stop, listener = SystemClock(), Stop(), bind("127.0.0.1", 0)
    async with httpx.AsyncClient(transport=orchestrator) as http, asyncio.TaskGroup() as tasks:
        orchestrators = Orchestrators(["http://o1"], http, None, clock, lambda: 0.5)
        outside = role.Outside(orchestrators, clock, lambda: 0.5, new_id, kinds)
        url = url_of(listener)
        tasks.create_task(role.run(settings, outside, listener, stop))
        async with httpx.AsyncClient(base_url=url, trust_env=False) as pages:
            yield pages
        stop.set()


async def ended(orchestrator: OneOrchestrator, *jobs: str) -> list[JobState]:
    """Wait until all of these have ended."""
    while True:
        orchestrator.changed.clear()
        states = [(await orchestrator.job(job_id)).state for job_id in jobs]
        if all(state in {JobState.SUCCEEDED, JobState.DEAD} for state in states):
            return states
        await orchestrator.changed.wait()


async def readiness(pages: httpx.AsyncClient, holds: Callable[[str | None], bool]) -> str | None:
    """Look until ``holds`` of the reason why the worker is not ready (``None``: it is); return the reason."""
    while True:
        missing: str | None = (await pages.get("/readyz")).json().get("missing")
        if holds(missing):
            return missing


def is_ready(missing: str | None) -> bool:
    return missing is None


async def test_real_lanes_compute_what_hashlib_computes(orchestrator: OneOrchestrator) -> None:
    counts = [2, 3, 2048, 2049, 5000, 60_000]
    jobs = [await orchestrator.submit(count, body=b"body") for count in counts]
    async with running(orchestrator, worker_settings()):
        await ended(orchestrator, *jobs)
    for job_id, count in zip(jobs, counts, strict=True):
        assert (await orchestrator.job(job_id)).chain.state.hex() == expected(KIND.name, b"body", count)


@dataclass
class Instructions:
    name: str


class Dispatched(Raiser):
    """Does its work in a way that it chose for this machine."""

    path = Instructions("avx9")


@pytest.mark.parametrize(("kind", "path"), [(Dispatched(), "avx9"), (RAISER, "python")])
def test_a_worker_tells_which_way_the_default_kind_goes_here(kind: Kind, path: str) -> None:
    orchestrators = Orchestrators(["http://o1"], httpx.AsyncClient(), None, SystemClock(), lambda: 0.5)
    outside = role.Outside(orchestrators, SystemClock(), lambda: 0.5, new_id, {KIND.name: kind})
    assert role.identify(worker_settings(), outside).path == path


async def test_a_kind_that_releases_the_interpreter_runs_in_threads_beside_the_others(
    orchestrator: OneOrchestrator,
) -> None:
    kinds = ["threaded", KIND.name] * 2
    jobs = [await orchestrator.submit(30_000, kind=kind, body=b"body") for kind in kinds]
    async with running(orchestrator, worker_settings()):
        await ended(orchestrator, *jobs)
    for job_id in jobs:
        assert (await orchestrator.job(job_id)).chain.state.hex() == expected(KIND.name, b"body", 30_000)


async def test_work_that_kills_its_lane_ends_dead_and_the_worker_lives_on(
    orchestrator: OneOrchestrator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", test_kinds.install(tmp_path)["PYTHONPATH"])
    async with running(orchestrator, worker_settings()) as pages:
        bad = [await orchestrator.submit(5, kind=kind) for kind in ("killer", "raiser")]
        good = [await orchestrator.submit(count) for count in (10, 20_000)]
        states = await ended(orchestrator, *bad, *good)
        metrics = (await pages.get("/metrics")).text
    assert states == [JobState.DEAD, JobState.DEAD, JobState.SUCCEEDED, JobState.SUCCEEDED]
    errors = [(await orchestrator.job(job_id)).error for job_id in bad]
    assert [error and error.code for error in errors] == ["lane_died", "kind_error"]
    assert "dynwork_worker_lane_deaths_total 2.0" in metrics


async def test_the_pages_tell_how_the_worker_is(orchestrator: OneOrchestrator) -> None:
    orchestrator.away = True
    async with running(orchestrator, worker_settings()) as pages:
        missing = await readiness(pages, lambda missing: missing is None or "ConnectError" in missing)
        assert missing == "no orchestrator has answered within the last 9 s: ConnectError"
        orchestrator.away = False
        await readiness(pages, is_ready)
        assert (await pages.get("/livez")).json() == {"status": "ok"}
        metrics = (await pages.get("/metrics")).text
        orchestrator.drain = True
        orchestrator.nudge()
        missing = await readiness(pages, lambda missing: missing is not None)
        assert missing == "this worker hands its work back and takes no more"
    assert "dynwork_worker_chains_held 0.0" in metrics
    assert "dynwork_worker_capacity_steps_per_second" in metrics
    assert f'dynwork_worker_kernel_info{{lanes="{KIND.path.lanes}",path="{KIND.path.name}"}} 1.0' in metrics


async def test_which_path_computes_is_told_to_the_fleet_and_in_the_log(orchestrator: OneOrchestrator) -> None:
    with capture_logs() as lines:
        async with running(orchestrator, worker_settings()) as pages:
            await readiness(pages, is_ready)
    [started] = [line for line in lines if line["event"] == "worker_started"]
    asked = orchestrator.asks[0]
    assert (asked.path, asked.lanes) == (started["path"], started["lanes"])
    assert (asked.path, asked.lanes) == (KIND.path.name, 2 * KIND.path.lanes)


async def test_closed_metrics_need_the_workers_token(orchestrator: OneOrchestrator) -> None:
    async with running(orchestrator, worker_settings(open_pages=False, worker_token="sesame")) as pages:
        assert (await pages.get("/metrics")).status_code == 401
        shown = await pages.get("/metrics", headers={"Authorization": "Bearer sesame"})
        assert shown.status_code == 200
        assert (await pages.get("/livez")).status_code == 200


async def test_lanes_that_do_not_run_refuse_to_start(orchestrator: OneOrchestrator) -> None:
    clock = SystemClock()
    outside = role.Outside(
        Orchestrators(["http://o1"], httpx.AsyncClient(transport=orchestrator), None, clock, lambda: 0.5),
        clock,
        lambda: 0.5,
        new_id,
        {KIND.name: RAISER},  # no lane process finds this one among its entry points
    )
    with pytest.raises(ExceptionGroup) as caught:
        await role.run(worker_settings(), outside, bind("127.0.0.1", 0), Stop())
    assert caught.value.subgroup(ConfigurationError) is not None


async def test_lane_processes_do_not_get_the_secrets(
    orchestrator: OneOrchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in role.SECRETS:
        monkeypatch.setenv(name, "a:secret")
    settings = worker_settings(worker_token="secret")
    async with running(orchestrator, settings, {PLAIN.name: PLAIN}) as pages:
        await readiness(pages, is_ready)
        lanes = [child for child in psutil.Process().children() if "dynwork.worker.lane_process" in child.cmdline()]
        assert len(lanes) == 2
        for lane in lanes:
            assert not set(role.SECRETS) & set(lane.environ())


# -- as a process of its own
WITHOUT_KERNEL = """
import runpy, sys
sys.modules["dynwork.kinds._sha512chain"] = None
runpy.run_module("dynwork.worker", run_name="__main__")
"""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker whose orchestrator is away, with both lanes up: processes, as on a machine without the kernel."""
    environment = child_environment(
        DYNWORK_WORKER_PORT="0",
        DYNWORK_WORKER_SLOTS="2",
        DYNWORK_WORKER_CALIBRATION_S="0.02",
        DYNWORK_ORCHESTRATOR_URLS="http://127.0.0.1:1",
    )
    log = (tmp_path / "log").open("wb")
    worker = subprocess.Popen([sys.executable, "-c", WITHOUT_KERNEL], env=environment, stderr=log)
    try:
        wait_until(lambda: b"worker_started" in (tmp_path / "log").read_bytes(), "the worker starts")
        yield worker
    finally:
        worker.kill()
        worker.wait()
        log.close()


@pytest.mark.system
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, -9)])
def test_however_a_worker_ends_its_lanes_end_with_it(
    number: signal.Signals, code: int, process: subprocess.Popen[bytes]
) -> None:
    lanes = psutil.Process(process.pid).children()
    assert len(lanes) == 2
    os.kill(process.pid, number)
    assert process.wait(10) == code
    wait_until(
        lambda: not [lane for lane in lanes if lane.is_running() and lane.status() != psutil.STATUS_ZOMBIE],
        "its lanes end",
        10.0,
    )
