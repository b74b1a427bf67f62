"""Lists of jobs, and dead ones that are tried again."""

from __future__ import annotations

from typing import Any

import pytest

from dynwork.ids import new_id
from dynwork.testing.api import ApiBench, api_instance
from dynwork.testing.orchestrators import FakeOrchestrators

KEYS: dict[str, Any] = {"api_keys": ("one:one", "two:two", "chief[admin]:chief")}


def showing(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def enter(api: ApiBench, key: str = "one", count: int = 1) -> list[str]:
    ids = []
    for number in range(count):
        answer = await api.client.put("/enqueue?iterations=9", content=b"%d" % number, headers=showing(key))
        ids.append(answer.json()["job_id"])
    return ids


async def listed(api: ApiBench, query: str = "", key: str = "one") -> dict[str, Any]:
    answer = await api.client.get(f"/jobs?{query}", headers=showing(key))
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


def ids_of(page: dict[str, Any]) -> list[str]:
    return [job["job_id"] for job in page["jobs"]]


async def test_jobs_are_listed_newest_first_a_page_at_a_time() -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:
        ids = await enter(api, count=5)
        first = await listed(api, "limit=2")
        second = await listed(api, f"limit=2&cursor={first['next']}")
        third = await listed(api, f"limit=2&cursor={second['next']}")
        assert ids_of(first) + ids_of(second) + ids_of(third) == ids[::-1]
        assert third["next"] is None
        assert (await listed(api))["jobs"][0] == (
            await api.client.get(f"/jobs/{ids[-1]}", headers=showing("one"))
        ).json()


async def test_a_list_may_be_of_one_state() -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:
        queued, dead, done = await enter(api, count=3)
        api.far.kill(dead)
        api.far.finish(done, "ab" * 64)
        assert ids_of(await listed(api, "state=dead")) == [dead]
        assert ids_of(await listed(api, "state=queued")) == [queued]
        assert ids_of(await listed(api, "state=leased")) == []


async def test_everybody_sees_their_own_and_an_admin_all_or_one_owner_s() -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:
        (mine,), (theirs,) = await enter(api, "one"), await enter(api, "two")
        assert ids_of(await listed(api)) == ids_of(await listed(api, "owner=one")) == [mine]
        assert ids_of(await listed(api, key="chief")) == [theirs, mine]
        assert ids_of(await listed(api, "owner=two", "chief")) == [theirs]
        assert (await listed(api, key="two"))["jobs"][0]["owner"] == "two"
        refused = await api.client.get("/jobs?owner=two", headers=showing("one"))
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "query",
    [
        "state=lost",
        "limit=0",
        "limit=1001",
        "limit=x",
        "cursor=",
        "cursor=0",
        "cursor=AQAAAAAAAAAA",
        "owner=",
        "owner=" + "x" * 65,
    ],
)
async def test_a_list_that_makes_no_sense_is_refused(query: str) -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:
        answer = await api.client.get(f"/jobs?{query}", headers=showing("chief"))
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")


async def test_a_dead_job_has_one_successor_however_often_it_is_requeued() -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:
        (job_id,) = await enter(api)
        api.far.kill(job_id)
        answers = [await api.client.post(f"/jobs/{job_id}/requeue", headers=showing("one")) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202, 202]
        assert answers[0].json() == answers[1].json()
        successor = (await api.client.get(f"/jobs/{answers[0].json()['job_id']}", headers=showing("one"))).json()
        assert (successor["state"], successor["requeued_from"]) == ("queued", job_id)


async def test_only_a_dead_job_of_one_s_own_can_be_requeued() -> None:
    async with api_instance(FakeOrchestrators(), **KEYS) as api:
        (job_id,) = await enter(api)
        living = await api.client.post(f"/jobs/{job_id}/requeue", headers=showing("one"))
        assert (living.status_code, living.json()["code"]) == (409, "job_not_dead")
        api.far.kill(job_id)
        foreign = await api.client.post(f"/jobs/{job_id}/requeue", headers=showing("two"))
        unknown = await api.client.post(f"/jobs/{new_id()}/requeue", headers=showing("one"))
        malformed = await api.client.post("/jobs/7/requeue", headers=showing("one"))
        assert [answer.status_code for answer in (foreign, unknown, malformed)] == [404, 404, 422]
