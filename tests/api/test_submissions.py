"""Group commit toward the orchestrators: few calls, bounded, and nobody's failure is somebody else's."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from dynwork import errors
from dynwork.ids import new_id
from dynwork.testing.api import ONE, TWO, ApiBench, api_instance
from dynwork.testing.orchestrators import REFUSED, FakeOrchestrators, held, refusing, replying
from dynwork.wire import NewJob, Problem, SubmitReply


def put(api: ApiBench, key: str = "") -> asyncio.Task[httpx.Response]:
    headers = {"Idempotency-Key": key} if key else {}
    return asyncio.get_running_loop().create_task(
        api.client.put("/enqueue?iterations=9", content=b"x", headers=headers)
    )


def sizes(far: FakeOrchestrators) -> list[int]:
    return [len(batch.jobs) for batch in far.batches]


async def test_what_waits_while_two_batches_are_in_flight_goes_out_as_one() -> None:
    reached, released = [asyncio.Event(), asyncio.Event()], asyncio.Event()
    async with api_instance(FakeOrchestrators()) as api:
        api.far.fail(ONE, held(reached[0], released), held(reached[1], released))
        under_way = []
        for event in reached:
            under_way.append(put(api))
            await event.wait()
        waiting = [put(api) for _ in range(50)]
        await api.clock.settle()
        assert len(api.far.calls) == 2  # a third batch is never in flight
        released.set()
        answers = [await task for task in (*under_way, *waiting)]
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["job_id"] for answer in answers}) == 52
        assert sorted(sizes(api.far)) == [1, 1, 50]
        assert await api.metric("dynwork_api_submit_batch_jobs_sum") == 52
        assert await api.metric("dynwork_api_submit_batch_jobs_count") == 3


async def test_a_batch_is_bounded() -> None:
    async with api_instance(FakeOrchestrators(), submit_batch_max=20) as api:
        answers = await asyncio.gather(*[put(api) for _ in range(50)])
        assert {answer.status_code for answer in answers} == {202}
        assert max(sizes(api.far)) <= 20
        assert sum(sizes(api.far)) == 50


async def test_pending_submissions_are_bounded_and_the_one_beyond_is_told_to_come_back() -> None:
    reached, released = asyncio.Event(), asyncio.Event()
    async with api_instance(FakeOrchestrators(), submit_pending_max=3) as api:
        api.far.fail(ONE, held(reached, released), forever=True)
        accepted = [put(api) for _ in range(3)]
        await reached.wait()
        await api.clock.settle()
        assert await api.metric("dynwork_api_pending_submissions") == 3
        beyond = await put(api)
        assert (beyond.status_code, beyond.json()["code"]) == (503, "unavailable")
        assert int(beyond.headers["Retry-After"]) >= 1
        released.set()
        assert [(await task).status_code for task in accepted] == [202, 202, 202]
        assert (await put(api)).status_code == 202
        assert await api.metric("dynwork_api_pending_submissions") == 0


async def test_more_jobs_than_may_be_pending_are_let_in_when_nothing_else_is_pending() -> None:
    reached, released = asyncio.Event(), asyncio.Event()
    bulk = {"jobs": [{"data": "aGVsbG8=", "iterations": 3}] * 3}
    async with api_instance(FakeOrchestrators(), submit_pending_max=2) as api:
        api.far.fail(ONE, held(reached, released))
        under_way = put(api)
        await reached.wait()
        answer = await api.client.post("/jobs", json=bulk)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.json()["detail"].startswith("1 submissions are pending")
        released.set()
        assert (await under_way).status_code == 202
        assert len(api.far.jobs) == 1, "of those that were refused none was sent"
        assert (await api.client.post("/jobs", json=bulk)).status_code == 202
        assert len(api.far.jobs) == 4
        assert await api.metric("dynwork_api_pending_submissions") == 0


async def test_a_batch_that_fails_at_one_orchestrator_goes_to_the_next_as_it_was() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        api.far.fail(ONE, replying(500), forever=True)
        answers = await asyncio.gather(*[put(api) for _ in range(10)])
        assert {answer.status_code for answer in answers} == {202}
        first, second = api.far.calls[:2]
        assert (first.url.host, second.url.host) == ("one", "two")
        assert first.content == second.content


async def test_one_bad_item_fails_alone_when_the_batch_is_refused_as_a_whole() -> None:
    class Picky(FakeOrchestrators):
        """Refuses every message that holds the item with the bad key."""

        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if b'"key":"bad"' in await request.aread():
                self.calls.append(request)
                return httpx.Response(
                    422,
                    content=Problem(
                        title="Unprocessable", status=422, code="invalid_input", detail="jobs.3.key: bad"
                    ).model_dump_json(),
                )
            return await super().handle_async_request(request)

    async with api_instance(Picky()) as api:
        answers = await asyncio.gather(*[put(api, "bad" if index == 30 else f"k{index}") for index in range(100)])
        assert [index for index, answer in enumerate(answers) if answer.status_code != 202] == [30]
        assert (answers[30].status_code, answers[30].json()["code"]) == (422, "invalid_input")
        assert len(api.far.jobs) == 99
        assert len(api.far.calls) <= 20  # found by halves, not one by one


async def test_an_orchestrator_whose_queue_is_full_answers_for_the_batch_and_is_not_asked_again() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        api.far.fail(ONE, refusing(errors.QueueFullError("full", retry_after_s=7)), forever=True)
        answer = await put(api)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
        assert len(api.far.calls) == 1


@pytest.mark.parametrize(
    "reply",
    [SubmitReply(results=[]), SubmitReply.model_validate({"results": [{}]})],
    ids=["too few answers", "an answer that says nothing"],
)
async def test_an_answer_that_makes_no_sense_acknowledges_nothing(reply: SubmitReply) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        api.far.fail(ONE, replying(200, reply.model_dump_json().encode()))
        answer = await put(api)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_a_client_that_goes_away_while_it_waits_has_submitted_all_the_same() -> None:
    reached, released = asyncio.Event(), asyncio.Event()
    async with api_instance(FakeOrchestrators()) as api:
        api.far.fail(ONE, held(reached, released), held(asyncio.Event(), released))
        first = put(api, "first")
        await reached.wait()
        gone = put(api, "gone")
        await api.clock.settle()
        gone.cancel()
        released.set()
        assert (await first).status_code == 202
        await api.clock.settle()
        assert sorted(job.key or "" for job in api.far.jobs.values()) == ["first", "gone"]
        assert (await put(api, "after")).status_code == 202
        assert await api.metric("dynwork_api_pending_submissions") == 0


async def test_those_who_waited_while_all_were_tried_in_vain_are_not_kept_waiting_longer() -> None:
    reached, released = asyncio.Event(), asyncio.Event()

    async def hang_then_break(request: httpx.Request, _answer: object) -> httpx.Response:
        reached.set()
        await released.wait()
        raise httpx.ReadTimeout("too late", request=request)

    async with api_instance(FakeOrchestrators(), submit_batch_max=1) as api:
        api.far.fail(ONE, REFUSED, forever=True)
        api.far.fail(TWO, hang_then_break, forever=True)
        waiting = [put(api) for _ in range(20)]
        await reached.wait()
        await api.clock.settle()
        released.set()
        assert {(await task).json()["code"] for task in waiting} == {"no_orchestrator"}
        assert len(api.far.calls) <= 4 * 2  # not one attempt for each of them


async def test_calls_are_counted_by_how_they_ended() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        await put(api)
        await api.client.get(f"/jobs/{new_id()}")
        for url in (ONE, TWO):
            api.far.fail(url, REFUSED)
        await put(api)
        name = "dynwork_api_orchestrator_calls_total"
        assert await api.metric(name, call="submit", outcome="answered") == 1
        assert await api.metric(name, call="job", outcome="refused") == 1
        assert await api.metric(name, call="submit", outcome="failed") == 1


async def test_what_is_queued_when_nobody_waits_for_it_any_more_is_still_sent() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        job = NewJob(job_id=new_id(), owner="local", kind="sha512-chain", state=b"s", done=1, total=2)
        abandoned = asyncio.get_running_loop().create_task(api.api.submissions.submit(job))
        await asyncio.sleep(0)
        abandoned.cancel()
        await api.clock.settle()
        assert list(api.far.jobs) == [job.job_id]
