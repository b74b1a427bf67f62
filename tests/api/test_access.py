"""Request ids, the log, and the metrics of requests."""

from __future__ import annotations

from uuid import UUID

import pytest
from structlog.typing import EventDict

from dynwork.ids import new_id
from dynwork.testing.api import ONE, TOKEN, TWO, api_instance
from dynwork.testing.orchestrators import REFUSED, FakeOrchestrators

KEY = "s3cr3t-of-the-client"


async def test_a_sane_request_id_is_kept_and_returned() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        for sane in ("abc-123", "x" * 64, "a.b:c/d+e=f@g_h"):
            answer = await api.client.get("/livez", headers={"X-Request-ID": sane})
            assert answer.headers["X-Request-ID"] == sane


@pytest.mark.parametrize("insane", ["", "x" * 65, "two words", "new\tline", '{"a":1}', "é"])
async def test_any_other_request_id_is_replaced_by_a_fresh_one(insane: str) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        sent = {b"X-Request-ID": insane.encode()}
        answers = [(await api.client.get("/livez", headers=sent)).headers["X-Request-ID"] for _ in range(2)]
        assert all(str(UUID(answer)) == answer for answer in answers)
        assert len(set(answers)) == 2


async def test_refusals_and_defects_carry_the_request_id_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        for path in ("/nowhere", "/jobs/malformed"):
            answer = await api.client.get(path, headers={"X-Request-ID": "mine"})
            assert answer.headers["X-Request-ID"] == "mine"

        async def defect(*_arguments: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(api.api.submissions, "submit", defect)
        answer = await api.client.put("/enqueue?iterations=1", content=b"x", headers={"X-Request-ID": "mine"})
        assert (answer.status_code, answer.headers["X-Request-ID"]) == (500, "mine")


async def test_a_refused_request_is_one_event_at_info_and_an_accepted_one_at_debug(told: list[EventDict]) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        await api.client.put("/enqueue?iterations=0", content=b"x", headers={"X-Request-ID": "r-1"})
        await api.client.put("/enqueue?iterations=1", content=b"x")
    refused, accepted = told
    assert (refused["event"], refused["log_level"]) == ("request_refused", "info")
    assert (refused["status"], refused["code"], refused["path"]) == (422, "invalid_input", "/enqueue")
    assert refused["request_id"] == "r-1"
    assert (accepted["event"], accepted["log_level"], accepted["status"]) == ("request_answered", "debug", 202)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [("GET", "/nowhere", "not_found"), ("DELETE", "/enqueue", "method_not_allowed")],
)
async def test_what_routing_refuses_is_logged_with_its_code(
    told: list[EventDict], method: str, path: str, code: str
) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        await api.client.request(method, path)
    assert [event["code"] for event in told] == [code]


async def test_events_logged_during_a_request_name_it(told: list[EventDict]) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        api.far.fail(ONE, REFUSED)
        await api.client.get("/stats", headers={"X-Request-ID": "r-2"})
    failed = next(event for event in told if event["event"] == "orchestrator_failed")
    assert failed["request_id"] == "r-2"


async def test_no_key_token_or_buffer_is_in_any_event_or_answer(told: list[EventDict]) -> None:
    answers = []
    async with api_instance(FakeOrchestrators(), api_keys=(f"red:{KEY}",)) as api:
        for shown in (KEY, KEY + "x"):
            headers = {"Authorization": f"Bearer {shown}", "X-Request-ID": "r"}
            for url in (ONE, TWO, ONE, TWO):
                api.far.fail(url, REFUSED)
            answers += [
                await api.client.put("/enqueue?iterations=1", content=b"the-buffer", headers=headers),
                await api.client.put("/enqueue?iterations=x", content=b"the-buffer", headers=headers),
                await api.client.get("/stats", headers=headers),
                await api.client.get("/metrics", headers=headers),
                await api.client.get("/readyz", headers=headers),
            ]
    everything = repr(told) + "".join(answer.text + repr(answer.headers) for answer in answers)
    assert told
    for secret in (KEY, TOKEN, "the-buffer"):
        assert secret not in everything


async def test_requests_are_counted_by_route_template_and_status() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        for _ in range(3):
            await api.client.get(f"/jobs/{new_id()}")
        await api.client.get("/some/where")
        await api.client.get("/some/where/else")
        await api.client.request("BREW", "/stats")
        counted = "dynwork_api_requests_total"
        assert await api.metric(counted, method="GET", route="/jobs/{job_id}", status="404") == 3
        assert await api.metric(counted, method="GET", route="unmatched", status="404") == 2
        assert await api.metric(counted, method="other", route="/stats", status="405") == 1
        assert await api.metric("dynwork_api_request_seconds_count", method="GET", route="/jobs/{job_id}") == 3
