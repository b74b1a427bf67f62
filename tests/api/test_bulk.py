"""``POST /jobs``: many jobs at once, each judged for itself."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import tracemalloc
from typing import Any

import httpx
import pytest

from dynwork import errors
from dynwork.api import bulk
from dynwork.testing.api import ONE, TWO, ApiBench, api_instance
from dynwork.testing.orchestrators import REFUSED as CONNECTION_REFUSED
from dynwork.testing.orchestrators import FakeOrchestrators, held
from dynwork.wire import BulkJob, BulkJobs

DIGEST = hashlib.sha512(b"hello").hexdigest()


def item(data: bytes = b"hello", iterations: int = 7, **more: Any) -> dict[str, Any]:
    return {"data": base64.b64encode(data).decode(), "iterations": iterations, **more}


async def post(api: ApiBench, *items: object) -> httpx.Response:
    return await api.client.post("/jobs", content=json.dumps({"jobs": list(items)}))


async def results(api: ApiBench, *items: object) -> list[dict[str, Any]]:
    answer = await post(api, *items)
    assert answer.status_code == 202, answer.text
    told: list[dict[str, Any]] = answer.json()["results"]
    return told


async def test_each_item_becomes_a_job_and_the_ids_come_in_order() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        told = await results(api, item(b"a", 3, priority=9), item(b"b", 4, key="k"))
        jobs = [api.far.jobs[entry["job_id"]] for entry in told]
        assert [(job.total, job.priority, job.key, job.owner) for job in jobs] == [
            (3, 9, None, "local"),
            (4, 5, "k", "local"),
        ]
        assert [job.state for job in jobs] == [hashlib.sha512(b"a").digest(), hashlib.sha512(b"b").digest()]
        assert all(job.done == 1 for job in jobs)
        assert told == [{"job_id": job.job_id} for job in jobs], "what is not set is left out"


async def test_a_digest_is_the_same_job_as_its_buffer() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        first, second = await results(api, item(key="k"), {"sha512": DIGEST.upper(), "iterations": 7, "key": "k"})
        assert second == {"job_id": first["job_id"], "repeated": True}


async def test_a_key_that_was_used_before_gets_the_first_job_and_says_so() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        (first,) = await results(api, item(key="k"))
        assert await results(api, item(key="k")) == [{**first, "repeated": True}]


REFUSED: list[tuple[object, str, str]] = [
    ("text", "invalid_input", "valid dictionary"),
    (None, "invalid_input", "valid dictionary"),
    ({}, "invalid_input", "iterations"),
    ({"iterations": 3}, "invalid_input", "either data or sha512"),
    (item(sha512=DIGEST), "invalid_input", "either data or sha512"),
    (item(iterations=0), "invalid_input", "iterations"),
    (item(iterations=10**12 + 1), "invalid_input", "at most 1000000000000"),
    (item(iterations=10**15 + 1), "invalid_input", "at most 1000000000000"),
    (item(iterations=10**400), "invalid_input", "at most 1000000000000"),
    (item(key="\ud800"), "invalid_input", "key"),
    (item(kind="\udfff"), "invalid_input", "kind"),
    ({**item(), "\ud800": 1}, "invalid_input", "unicode"),
    ({**item(), "iterations": "7"}, "invalid_input", "iterations"),
    ({**item(), "iterations": 7.0}, "invalid_input", "iterations"),
    ({**item(), "iterations": True}, "invalid_input", "iterations"),
    (item(priority=10), "invalid_input", "priority"),
    (item(prioritty=9), "invalid_input", "prioritty"),
    (item(key=""), "invalid_input", "key"),
    (item(key="x" * 257), "invalid_input", "key"),
    (item(key="tab\t"), "invalid_input", "key"),
    ({"data": "not base64!", "iterations": 3}, "invalid_input", "base64"),
    ({"data": "aGVsbG8", "iterations": 3}, "invalid_input", "base64"),
    ({"data": "ключ", "iterations": 3}, "invalid_input", "base64"),
    ({"data": "", "iterations": 3}, "empty_body", "1 byte"),
    ({"sha512": DIGEST[:-1], "iterations": 3}, "invalid_input", "sha512"),
    ({"sha512": DIGEST, "iterations": 3, "kind": "other"}, "invalid_input", "send data"),
    (item(kind="nonsense"), "unknown_kind", "nonsense"),
    (item(kind="nul\x00"), "unknown_kind", "nul"),
]


@pytest.mark.parametrize(("wrong", "code", "why"), REFUSED)
async def test_one_wrong_item_is_refused_alone(wrong: object, code: str, why: str) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        before, refused, after = await results(api, item(b"a"), wrong, item(b"b"))
        assert refused["error"]["code"] == code
        assert why in refused["error"]["detail"]
        assert "job_id" not in refused
        assert {before["job_id"], after["job_id"]} == set(api.far.jobs)


@pytest.mark.parametrize(
    ("number", "why"), [(b"9" * 5000, "at most 1000000000000"), (b"-" + b"9" * 5000, "greater than or equal to 1")]
)
async def test_a_number_that_no_integer_can_be_is_its_item_s_error_alone(number: bytes, why: str) -> None:
    body = json.dumps({"jobs": [item(b"a"), item(iterations=777), item(b"b")]}).encode().replace(b"777", number)
    async with api_instance(FakeOrchestrators()) as api:
        answer = await api.client.post("/jobs", content=body)
        before, refused, after = answer.json()["results"]
        assert refused["error"]["code"] == "invalid_input"
        assert why in refused["error"]["detail"]
        assert {before["job_id"], after["job_id"]} == set(api.far.jobs)


async def test_what_an_orchestrator_refuses_is_told_in_its_place() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        await results(api, item(b"first", key="k"))
        api.far.item_errors["full"] = errors.QueueFullError("no room")
        reused, full, good = await results(api, item(b"another", key="k"), item(key="full"), item())
        assert (reused["error"]["code"], full["error"]["code"]) == ("key_reused", "queue_full")
        assert good["job_id"] in api.far.jobs


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b'"x"', b"{}", b'{"jobs": []}', b'{"jobs": {}}', b'{"jobs": null}', b"\xff"),
        *(b'{"jobs": [1', b'{"jobs": ["\\ud800"', b'{"jobs": "\\ud800"}', b"[" * 1000),
    ],
)
async def test_a_message_that_holds_no_jobs_is_refused_whole(body: bytes) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        answer = await api.client.post("/jobs", content=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
        assert answer.json()["errors"]


async def test_more_than_a_thousand_are_refused_whole_and_a_thousand_are_not() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        answer = await post(api, *[item()] * 1001)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "jobs")
        assert api.far.jobs == {}
        assert len(await results(api, *[item()] * 1000)) == 1000
        assert len(api.far.jobs) == 1000


async def test_when_no_orchestrator_takes_any_the_whole_may_be_repeated() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        for url in (ONE, TWO):
            api.far.fail(url, CONNECTION_REFUSED, forever=True)
        answer = await post(api, item(key="1"), item(key="2"))
        assert (answer.status_code, answer.json()["code"]) == (503, "no_orchestrator")
        assert answer.headers["Retry-After"] == "1"


async def test_what_is_malformed_makes_no_success_of_a_message_of_which_nothing_was_taken() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        for url in (ONE, TWO):
            api.far.fail(url, CONNECTION_REFUSED, forever=True)
        answer = await post(api, item(), {"iterations": 0})
        assert (answer.status_code, answer.json()["code"]) == (503, "no_orchestrator")
        assert answer.headers["Retry-After"] == "1"
        told = await results(api, {"iterations": 0})
        assert [entry["error"]["code"] for entry in told] == ["invalid_input"], "repeating would help nobody"


async def test_when_only_some_could_not_be_taken_the_others_keep_their_ids() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        api.far.item_errors["away"] = errors.StoreUnavailableError("no commit")
        away, good, bad = await results(api, item(key="away"), item(), {"iterations": 0})
        assert (away["error"]["code"], bad["error"]["code"]) == ("store_unavailable", "invalid_input")
        assert good["job_id"] in api.far.jobs


async def test_a_message_beyond_the_bound_is_refused() -> None:
    async with api_instance(FakeOrchestrators(), body_bytes_max=100) as api:
        answer = await post(api, item(b"x" * 100))
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_a_message_that_would_become_millions_of_values_is_refused_before_it_is_taken_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        longest = [item(key=f"{number:04}".ljust(256, ",")) for number in range(1000)]
        assert all("job_id" in told for told in await results(api, *longest)), "keys may be full of commas"
        monkeypatch.setattr(BulkJobs, "model_validate_json", pytest.fail)
        for many in (b"1,", b"[[", b"{{", b"[],"):
            answer = await api.client.post("/jobs", content=b'{"jobs": [' + many * bulk.MARKS_MAX)
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "jobs")


async def test_an_item_of_very_many_fields_is_refused_before_each_of_them_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        monkeypatch.setattr(BulkJob, "model_validate", pytest.fail)
        (told,) = await results(api, {str(number): 0 for number in range(7)})
        assert told["error"] == {"code": "invalid_input", "detail": "an item has 6 fields at most"}


async def test_a_message_is_not_in_memory_while_its_jobs_wait_for_an_orchestrator() -> None:
    async with api_instance(FakeOrchestrators()) as api, asyncio.TaskGroup() as tasks:
        reached, released = asyncio.Event(), asyncio.Event()
        api.far.fail(ONE, held(reached, released))
        body = json.dumps({"jobs": [item(b"x" * 4_000_000)]}).encode()
        tracemalloc.start()
        try:
            posting = tasks.create_task(api.client.post("/jobs", content=body))
            await reached.wait()
            assert tracemalloc.get_traced_memory()[0] < 1_000_000
        finally:
            tracemalloc.stop()
        released.set()
        assert (await posting).status_code == 202


async def test_a_large_message_is_read_as_a_small_one_is() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        large = b"x" * 3 * bulk.AT_ONCE_BYTES_MAX
        (told,) = await results(api, item(large))
        assert api.far.jobs[told["job_id"]].state == hashlib.sha512(large).digest()
        answer = await api.client.post("/jobs", content=b"[" * 2 * bulk.AT_ONCE_BYTES_MAX)
        assert answer.status_code == 422


async def test_the_document_describes_an_item_and_its_examples_are_accepted() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        document = (await api.client.get("/openapi.json")).json()
        content = document["paths"]["/jobs"]["post"]["requestBody"]["content"]["application/json"]
        properties = document["components"]["schemas"]["BulkJob"]["properties"]
        assert set(properties) == {"data", "sha512", "iterations", "priority", "kind", "key"}
        for example in content["examples"].values():
            answer = await api.client.post("/jobs", content=json.dumps(example["value"]))
            assert all("job_id" in entry for entry in answer.json()["results"])
