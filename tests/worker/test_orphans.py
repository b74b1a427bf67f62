"""A worker of a fleet that nobody serves ends after its time: its machine must not run on for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from dynwork import compose, exits
from dynwork.errors import OrphanedError, UnauthorizedError
from dynwork.settings import WorkerSettings
from dynwork.testing.clock import FakeClock
from dynwork.testing.one_worker import STOP_S, one_worker
from dynwork.testing.worker_side import HEARTBEAT, LEASE, OneOrchestrator
from dynwork.worker import loop

ORPHAN_S = 600.0


@asynccontextmanager
async def ending(clock: FakeClock, orchestrator: OneOrchestrator) -> AsyncIterator[list[str]]:
    """A worker of a fleet, which ends inside; yields what it says then."""
    told: list[str] = []
    try:
        async with one_worker(clock, orchestrator, rules=loop.Rules(STOP_S, ORPHAN_S)) as worker:
            await clock.settle()
            yield told
            assert worker.running.done()
            assert all(lanes.closed for lanes in worker.lanes)
    except* OrphanedError as orphaned:
        told += [str(error) for error in leaves(orphaned)]
    assert len(told) == 1


def leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


async def test_it_ends_when_its_time_without_contact_is_up_and_says_why(
    clock: FakeClock, orchestrator: OneOrchestrator
) -> None:
    async with ending(clock, orchestrator) as told:
        await clock.advance(100)
        orchestrator.away = True
        await clock.advance(ORPHAN_S + 30)  # an ask that was parked is answered yet
    assert "no orchestrator has served this worker for 600 s" in told[0]


async def test_one_that_never_found_anybody_ends_as_well(clock: FakeClock, orchestrator: OneOrchestrator) -> None:
    orchestrator.away = True
    async with ending(clock, orchestrator):
        await clock.advance(ORPHAN_S + 1)


async def test_any_contact_lets_the_time_begin_anew(clock: FakeClock, orchestrator: OneOrchestrator) -> None:
    async with one_worker(clock, orchestrator, rules=loop.Rules(STOP_S, ORPHAN_S)) as worker:
        await clock.settle()
        for _ in range(3):
            orchestrator.away = True
            await clock.advance(ORPHAN_S - 20)
            orchestrator.away = False
            await clock.advance(20)
        assert not worker.running.done()


async def test_orchestrators_that_refuse_it_are_no_contact(clock: FakeClock, orchestrator: OneOrchestrator) -> None:
    """Its token was changed, or it talks to another cluster: it will never be of use again."""

    async def refused(request: httpx.Request, _: object) -> httpx.Response:
        problem = {"code": UnauthorizedError.code, "detail": "no", "title": "", "status": 401, "type": "about:blank"}
        return httpx.Response(401, json=problem, headers={"content-type": "application/problem+json"})

    async with ending(clock, orchestrator) as told:
        for route in (LEASE, HEARTBEAT):
            orchestrator.faults[route].extend([refused] * 10_000)
        await clock.advance(ORPHAN_S + 60)
    assert "refuses this role's token" in told[0]


async def test_one_that_a_person_started_waits_for_ever(clock: FakeClock, orchestrator: OneOrchestrator) -> None:
    assert WorkerSettings(worker_instance_id=None).orphan_s is None
    assert WorkerSettings(worker_instance_id="i").orphan_s == ORPHAN_S
    async with one_worker(clock, orchestrator) as worker:
        orchestrator.away = True
        await clock.advance(10 * ORPHAN_S)
        assert not worker.running.done()


def test_its_process_ends_with_a_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def orphaned(*_: object) -> None:
        raise ExceptionGroup("tasks", [OrphanedError("nobody is there")])

    monkeypatch.setattr(compose, "worker", orphaned)
    assert compose.main("worker") == exits.ORPHANED == 75
    assert capsys.readouterr().err == "dynwork worker: nobody is there\n"
