"""Results, jobs, fleet and stats: what is asked, what is answered, what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dynwork import errors
from dynwork.api import cursor, gateway
from dynwork.ids import new_id
from dynwork.testing.api import ONE, TWO, ApiBench, api_instance
from dynwork.testing.orchestrator_memory import FLEET, STATS
from dynwork.testing.orchestrators import REFUSED, FakeOrchestrators, held


async def enqueued(api: ApiBench, count: int = 1, **headers: str) -> list[str]:
    answers = [await api.client.put("/enqueue?iterations=4", content=b"x", headers=headers) for _ in range(count)]
    return [answer.json()["job_id"] for answer in answers]


async def test_a_job_is_shown_with_every_field_of_the_contract() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        (job_id,) = await enqueued(api)
        answer = await api.client.get(f"/jobs/{job_id}")
        assert answer.status_code == 200
        assert set(answer.json()) == {
            *("job_id", "owner", "state", "kind", "iterations", "done", "percent", "priority", "attempts", "worker_id"),
            *("created_at", "started_at", "completed_at", "eta_s", "hash", "error", "requeued_from"),
        }
        assert (answer.json()["state"], answer.json()["done"], answer.json()["iterations"]) == ("queued", 1, 4)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("malformed", ["17", "not-a-uuid", "01A20BD3-C12E-76D3-BAB0-928EDB700DE8", "x" * 500])
async def test_a_malformed_id_is_refused_without_asking_anyone(method: str, malformed: str) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        answer = await api.client.request(method, f"/jobs/{malformed}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
        assert answer.json()["errors"][0]["field"] == "job_id"
        assert api.far.calls == []


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_an_unknown_job_is_not_found(method: str) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        job_id = new_id()
        answer = await api.client.request(method, f"/jobs/{job_id}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert job_id in answer.json()["detail"]


async def test_cancelling_twice_gets_the_same_answer_and_a_finished_job_is_refused() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        unwanted, done = await enqueued(api, 2)
        first = await api.client.delete(f"/jobs/{unwanted}")
        assert (first.status_code, first.json()["state"]) == (200, "cancelled")
        assert (await api.client.delete(f"/jobs/{unwanted}")).json() == first.json()
        api.far.finish(done, "ab" * 64)
        refused = await api.client.delete(f"/jobs/{done}")
        assert (refused.status_code, refused.json()["code"]) == (409, "job_finished")


async def test_pull_completed_shows_succeeded_jobs_newest_first_and_removes_nothing() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        ids = await enqueued(api, 12)
        await api.client.delete(f"/jobs/{ids[0]}")
        for job_id in ids[1:]:
            api.far.finish(job_id, "cd" * 64)
        for _ in range(2):
            answer = await api.client.post("/pullCompleted")
            assert [entry["job_id"] for entry in answer.json()] == ids[:1:-1]  # ten by default
        assert set(answer.json()[0]) == {"job_id", "hash", "iterations", "completed_at"}
        assert len((await api.client.post("/pullCompleted?top=10000")).json()) == 11
        assert len((await api.client.post("/pullCompleted?top=1")).json()) == 1


@pytest.mark.parametrize(
    ("method", "path", "field"),
    [
        ("POST", "/pullCompleted?top=0", "top"),
        ("POST", "/pullCompleted?top=10001", "top"),
        ("POST", "/pullCompleted?top=all", "top"),
        ("GET", "/results?limit=0", "limit"),
        ("GET", "/results?limit=1001", "limit"),
        ("GET", "/results?after=", "after"),
        ("GET", "/results?after=5", "after"),
        ("GET", "/results?after=AQAAAAAAAAA!", "after"),
        ("GET", f"/results?after={'A' * 65}", "after"),
    ],
)
async def test_a_bad_parameter_of_a_read_is_refused_by_name(method: str, path: str, field: str) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        answer = await api.client.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
        assert [item["field"] for item in answer.json()["errors"]] == [field]
        assert api.far.calls == []


async def test_following_the_feed_tells_every_end_once_and_in_order() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        ids = await enqueued(api, 5)
        for job_id in ids[:4]:
            api.far.finish(job_id, "ef" * 64)
        await api.client.delete(f"/jobs/{ids[4]}")
        told: list[dict[str, Any]] = []
        after = ""
        for _ in range(4):
            page = (await api.client.get(f"/results?limit=2{after}")).json()
            told += page["results"]
            after = f"&after={page['next']}"
        assert [entry["job_id"] for entry in told] == ids
        assert [entry["state"] for entry in told] == ["succeeded"] * 4 + ["cancelled"]
        assert set(told[0]) == {"job_id", "state", "hash", "iterations", "completed_at", "error"}
        assert told[4]["hash"] is None
        later = await enqueued(api)
        api.far.finish(later[0], "aa" * 64)
        page = (await api.client.get(f"/results?limit=2{after}")).json()
        assert [entry["job_id"] for entry in page["results"]] == later


async def test_a_cursor_older_than_what_is_kept_is_told_so() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        api.far.retired = 10
        answer = await api.client.get(f"/results?after={cursor.encode(9)}")
        assert (answer.status_code, answer.json()["code"]) == (410, "cursor_expired")


@pytest.mark.parametrize("wait_s", [0, 5])
async def test_a_cursor_beyond_what_there_is_is_told_so_and_never_moves_backwards(wait_s: int) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        answer = await api.client.get(f"/results?after={cursor.encode(1)}&wait_s={wait_s}")
        assert (answer.status_code, answer.json()["code"]) == (410, "cursor_expired")


async def test_fleet_and_stats_are_passed_on_as_they_are() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        assert (await api.client.get("/fleet")).json() == FLEET.model_dump()
        assert (await api.client.get("/stats")).json() == STATS.model_dump()


@pytest.mark.parametrize("path", ["/fleet", "/stats", "/results", "/jobs/01a20bd3-c12e-76d3-bab0-928edb700de8"])
async def test_a_read_goes_to_the_next_orchestrator_and_is_503_after_all_were_tried(path: str) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        api.far.fail(ONE, REFUSED, forever=True)
        assert (await api.client.get(path)).status_code in (200, 404)
        api.far.fail(TWO, REFUSED, forever=True)
        answer = await api.client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "no_orchestrator")
        assert "Retry-After" in answer.headers


async def test_reads_in_flight_are_bounded_and_so_are_those_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "ASKS_WAITING_MAX", 100)
    reached, released = asyncio.Event(), asyncio.Event()
    async with api_instance(FakeOrchestrators()) as api:
        api.far.fail(ONE, held(reached, released), forever=True)
        loop = asyncio.get_running_loop()
        reads = [loop.create_task(api.client.get(f"/results?limit={limit}")) for limit in range(1, 101)]
        await reached.wait()
        await api.clock.settle()
        assert len(api.far.calls) == gateway.ASKS_IN_FLIGHT_MAX
        beyond = await api.client.get("/stats")
        assert (beyond.status_code, beyond.json()["code"]) == (503, errors.UnavailableError.code)
        released.set()
        assert {(await read).status_code for read in reads} == {200}
