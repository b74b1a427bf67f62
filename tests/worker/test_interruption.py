"""A machine that says it is about to go: what is asked of EC2's metadata service, and what the worker does then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from structlog.testing import capture_logs

from dynwork.clock import SystemClock
from dynwork.orchestrator.core.job import JobState, LeaseEnd
from dynwork.testing.clock import FakeClock
from dynwork.testing.one_worker import STOP_S, OneWorker, one_worker
from dynwork.testing.worker_side import OneOrchestrator
from dynwork.worker import interruption, loop
from dynwork.worker.interruption import LOOK_S, Ec2Notices

LONG = 10**9
WHEN = "2026-11-28T12:00:00Z"
INTERRUPTION, REBALANCE = "/latest/meta-data/spot/instance-action", "/latest/meta-data/events/recommendations/rebalance"


class Imds(httpx.AsyncBaseTransport):
    """The metadata service: ``pages`` by path, behind session tokens (version 2)."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.token = "first"
        self.down: Callable[[httpx.Request], httpx.Response] | None = None
        self.asked: list[str] = []
        self.waits: list[float | None] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        self.waits += request.extensions["timeout"].values()
        assert request.url.host == "169.254.169.254"
        if self.down is not None:
            return self.down(request)
        if request.url.path == "/latest/api/token":
            assert request.method == "PUT"
            assert 1 <= int(request.headers["X-aws-ec2-metadata-token-ttl-seconds"]) <= 21_600
            return httpx.Response(200, text=self.token)
        if request.headers.get("X-aws-ec2-metadata-token") != self.token:
            return httpx.Response(401)
        page = self.pages.get(request.url.path)
        return httpx.Response(404) if page is None else httpx.Response(200, text=page)


@pytest.fixture
def imds() -> Imds:
    return Imds()


@pytest.fixture
async def notices(imds: Imds) -> AsyncIterator[Ec2Notices]:
    async with httpx.AsyncClient(transport=imds) as http:
        yield Ec2Notices(http)


@pytest.fixture
async def spot(clock: FakeClock, orchestrator: OneOrchestrator, notices: Ec2Notices) -> AsyncIterator[OneWorker]:
    """A worker on a spot machine."""
    async with one_worker(clock, orchestrator, rules=loop.Rules(STOP_S, notices=notices)) as worker:
        await clock.settle()
        yield worker


# -- the metadata service ---------------------------------------------------------------------------------------------
async def test_without_a_notice_there_is_none_and_one_token_serves_for_long(imds: Imds, notices: Ec2Notices) -> None:
    for _ in range(3):
        assert await notices.look() is None
    assert imds.asked.count("/latest/api/token") == 1


@pytest.mark.parametrize(
    ("path", "page", "told"),
    [
        (INTERRUPTION, '{"action": "terminate", "time": "2026-11-28T12:00:00Z"}', f"spot interruption at {WHEN}"),
        (INTERRUPTION, '{"action": "stop", "time": "2026-11-28T12:00:00Z"}', f"spot interruption at {WHEN}"),
        (INTERRUPTION, "soon", "spot interruption at a time that it does not tell"),
        (REBALANCE, '{"noticeTime": "2026-11-28T12:00:00Z"}', f"rebalance recommended at {WHEN}"),
        pytest.param(INTERRUPTION, "[" * 10**5, "spot interruption at a time that it does not tell", id="deep"),
        (INTERRUPTION, '{"time": "\\n"}', "spot interruption at a time that it does not tell"),
        (INTERRUPTION, '{"time": "\u00e9"}', "spot interruption at a time that it does not tell"),
        pytest.param(INTERRUPTION, f'{{"time": "{WHEN * 9}"}}', f"spot interruption at {WHEN}{WHEN[:4]}", id="long"),
        (REBALANCE, "[]", "rebalance recommended at a time that it does not tell"),
    ],
)
async def test_a_notice_is_told_with_its_time_and_fits_into_a_message(
    imds: Imds, notices: Ec2Notices, path: str, page: str, told: str
) -> None:
    imds.pages[path] = page
    assert await notices.look() == told
    assert len(told) <= 64


async def test_a_token_that_has_run_out_is_renewed(imds: Imds, notices: Ec2Notices) -> None:
    assert await notices.look() is None
    imds.token = "second"
    imds.pages[INTERRUPTION] = "{}"
    assert await notices.look() is not None


def refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def keep_waiting(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("no answer", request=request)


Down = Callable[[httpx.Request], httpx.Response]


def but_for_tokens(status: int) -> Down:
    return lambda request: httpx.Response(200 if request.method == "PUT" else status, text="odd")


DOWN: dict[str, Down] = {
    "refused": refuse,
    "silent": keep_waiting,
    "broken": lambda _: httpx.Response(500, text="odd"),
    "forbidden": lambda _: httpx.Response(403, text="odd"),
    "broken but for tokens": but_for_tokens(500),
    "no token serves": but_for_tokens(401),
    "an empty token": lambda _: httpx.Response(200, text=""),
    "a page for a token": lambda _: httpx.Response(200, text="<h1>not here</h1>\r\n"),
    "no text for a token": lambda _: httpx.Response(200, content=b"\xff\x00"),
}


@pytest.mark.parametrize("down", DOWN.values(), ids=DOWN)
async def test_a_service_that_does_not_serve_is_no_notice(imds: Imds, notices: Ec2Notices, down: Down) -> None:
    imds.down = down
    with pytest.raises(OSError, match="metadata service"):
        await notices.look()


async def test_no_answer_is_waited_for_beyond_the_next_look(imds: Imds, notices: Ec2Notices) -> None:
    await notices.look()
    assert len(imds.waits) >= 3
    assert all(wait is not None and wait < LOOK_S for wait in imds.waits)


# -- the worker -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", [INTERRUPTION, REBALANCE])
async def test_on_a_notice_every_chain_goes_back_with_its_checkpoint_and_nothing_more_is_taken(
    clock: FakeClock, orchestrator: OneOrchestrator, spot: OneWorker, imds: Imds, path: str
) -> None:
    jobs = [await orchestrator.submit(LONG) for _ in range(2)]
    await clock.advance(LOOK_S / 2)
    imds.pages[path] = '{"time": "t", "noticeTime": "t"}'
    await clock.advance(LOOK_S)
    for job_id in jobs:
        job = await orchestrator.job(job_id)
        assert (job.state, job.lease.end, job.attempts, job.losses) == (JobState.QUEUED, LeaseEnd.RELEASED, 0, 0)
        assert job.chain.done >= 4000, "at 1000 steps a second, all but what is made between notice and look"
    more = await orchestrator.submit(LONG)
    await clock.advance(60)
    assert (await orchestrator.job(more)).state is JobState.QUEUED
    assert not spot.running.done(), "it lives until its machine goes"


async def test_the_orchestrator_hears_of_it_at_once(
    clock: FakeClock, orchestrator: OneOrchestrator, spot: OneWorker, imds: Imds
) -> None:
    await clock.advance(LOOK_S + 0.5)
    beats = len(orchestrator.heartbeats)
    imds.pages[INTERRUPTION] = '{"time": "t"}'
    await clock.advance(LOOK_S - 0.4)  # the look is now, and the next heartbeat is not due for a second or two
    told = [beat.notice for beat in orchestrator.heartbeats[beats:]]
    assert told[-1] == "spot interruption at t"
    (worker,) = await orchestrator.store.workers()
    assert worker.facts.notice == "spot interruption at t"


async def test_after_a_notice_nothing_more_is_asked_of_the_machine(
    clock: FakeClock, spot: OneWorker, imds: Imds
) -> None:
    imds.pages[INTERRUPTION] = "{}"
    await clock.advance(LOOK_S)
    asked = len(imds.asked)
    await clock.advance(10 * LOOK_S)
    assert len(imds.asked) == asked


@pytest.mark.parametrize("down", DOWN.values(), ids=DOWN)
async def test_a_metadata_service_that_is_away_for_a_while_costs_nothing_but_that_while(
    clock: FakeClock,
    orchestrator: OneOrchestrator,
    notices: Ec2Notices,
    imds: Imds,
    down: Down,
) -> None:
    imds.down = down
    async with one_worker(clock, orchestrator, rules=loop.Rules(STOP_S, notices=notices)) as spot:
        await clock.advance(10 * LOOK_S)
        job_id = await orchestrator.submit(1000)
        await clock.advance(3)
        assert (await orchestrator.job(job_id)).state is JobState.SUCCEEDED
        assert spot.desk.notice is None
        imds.down = None
        imds.pages[INTERRUPTION] = "{}"
        await clock.advance(LOOK_S)
        assert spot.desk.notice is not None


async def test_that_the_metadata_service_is_away_is_told_once_each_time(
    clock: FakeClock, spot: OneWorker, imds: Imds
) -> None:
    with capture_logs() as events:
        for _ in range(2):
            imds.down = refuse
            await clock.advance(10 * LOOK_S)
            imds.down = None
            await clock.advance(2 * LOOK_S)
    assert [event["event"] for event in events].count("notices_cannot_be_seen") == 2


async def test_a_look_that_never_ends_is_given_up_and_the_next_one_taken(
    worker: OneWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stuck:
        looks = 0

        async def look(self) -> str | None:
            self.looks += 1
            return "spot" if self.looks > 1 else await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(interruption, "LOOK_S", 0.01)
    async with asyncio.timeout(10):
        await interruption.watch(Stuck(), worker.desk, SystemClock())
    assert worker.desk.notice == "spot"


async def test_who_is_not_on_such_a_machine_asks_nobody(clock: FakeClock, worker: OneWorker, imds: Imds) -> None:
    await clock.advance(60)
    assert imds.asked == []
    assert worker.desk.notice is None


async def test_a_grant_that_crosses_a_notice_goes_back_unbegun(clock: FakeClock, orchestrator: OneOrchestrator) -> None:
    class Now:
        told: asyncio.Future[str] | None = None

        async def look(self) -> str | None:
            self.told = asyncio.get_running_loop().create_future()
            return await self.told

    now = Now()
    async with one_worker(clock, orchestrator, rules=loop.Rules(STOP_S, notices=now)) as worker:
        await clock.settle()
        job_id = await orchestrator.submit(LONG)
        assert now.told is not None
        now.told.set_result("spot")  # in the same turn of the loop
        await clock.advance(1)
        job = await orchestrator.job(job_id)
        assert (job.state, job.attempts, len(worker.desk.holding)) == (JobState.QUEUED, 0, 0)


def test_a_notice_is_looked_for_as_often_as_ec2_asks_for() -> None:
    assert interruption.LOOK_S <= 5.0
