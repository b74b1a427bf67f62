"""The HTTP face: who may call what, and what becomes of messages that make no sense."""

from typing import Any, cast

import httpx
import pytest
import structlog
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.types import Receive, Scope, Send

from dynwork import wire
from dynwork.orchestrator import bodies
from dynwork.orchestrator.app import RequestIds
from dynwork.testing.orchestrator import OWNER, URL, Bench, job_id, new_job, running

HEALTH = {"/livez", "/readyz", "/metrics"}
WORKERS = {"/internal/lease", "/internal/heartbeat", "/internal/report"}
API = {
    "/internal/submit",
    "/internal/jobs",
    "/internal/jobs/{job_id}",
    "/internal/jobs/{job_id}/cancel",
    "/internal/jobs/{job_id}/requeue",
    "/internal/completed",
    "/internal/results",
    "/internal/tail",
    "/internal/stats",
    "/internal/fleet",
}
TOKENS: dict[str, Any] = {"api_token": "secret-of-apis", "worker_token": "secret-of-workers", "open_pages": False}


def routes(app: FastAPI) -> dict[str, str]:
    """Return path and method of every route that the app has."""
    found = ((route.path or "", (route.methods or set()) - {"HEAD"}) for route in iter_route_contexts(app.routes))
    return {path: next(iter(methods)) for path, methods in found if methods}


async def knock(bench: Bench, method: str, path: str, token: str | None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return await bench.http.request(method, path.replace("{job_id}", job_id(1)), headers=headers)


async def test_every_route_has_exactly_one_guard_or_is_a_health_page(bench: Bench) -> None:
    assert set(routes(bench.orchestrator.app)) == HEALTH | WORKERS | API


async def test_each_token_opens_its_own_routes_and_no_other() -> None:
    async with running(**TOKENS) as bench:
        for path, method in routes(bench.orchestrator.app).items():
            if path in HEALTH:
                continue
            opened = {
                token
                for token in (None, "client-key", "secret-of-apis", "secret-of-workers", "secret-of-workers ", "")
                if (await knock(bench, method, path, token)).status_code != 401
            }
            right = "secret-of-workers" if path in WORKERS else "secret-of-apis"
            assert {token.strip() for token in opened if token} == {right}, path
            assert None not in opened


async def test_a_wrong_token_is_a_problem_that_says_what_to_show() -> None:
    async with running(**TOKENS) as bench:
        answer = await knock(bench, "GET", "/internal/stats", "wrong")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "unauthorized"
        assert "secret" not in answer.text


async def test_a_message_without_a_token_is_not_even_read() -> None:
    async with running(**TOKENS) as bench:
        answer = await bench.http.post("/internal/submit", content=b"{" * 100)
        assert answer.status_code == 401


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("secret-of-workers", 401), ("secret-of-apis", 200)])
async def test_closed_metrics_follow_the_token_of_the_api(token: str | None, status: int) -> None:
    async with running(**TOKENS) as bench:
        assert (await knock(bench, "GET", "/metrics", token)).status_code == status
        assert (await knock(bench, "GET", "/livez", None)).status_code == 200
        assert (await knock(bench, "GET", "/readyz", None)).status_code == 200


async def test_metrics_closed_without_a_token_stay_closed() -> None:
    async with running(open_pages=False) as bench:
        assert (await knock(bench, "GET", "/metrics", "anything")).status_code == 401


async def test_on_loopback_without_tokens_all_is_open(bench: Bench) -> None:
    assert (await knock(bench, "GET", "/internal/stats", None)).status_code == 200
    assert (await knock(bench, "GET", "/metrics", None)).status_code == 200


async def test_without_tokens_no_page_of_another_site_may_submit_cancel_or_report(bench: Bench) -> None:
    await bench.submit(1)
    for path, method in routes(bench.orchestrator.app).items():
        for lie in ({"Origin": "http://evil.example"}, {"Host": "evil.example:8100"}):
            answer = await bench.http.request(method, path.replace("{job_id}", job_id(1)), headers=lie)
            assert answer.status_code == (403 if path in WORKERS | API else 200), path
    assert (await bench.job(1)).state == "queued"


@pytest.mark.parametrize(
    ("sent", "taken_over"), [(b"req-1", True), (b"x" * 65, False), (b"\x9b31m", False), (b"a b", False), (b"", False)]
)
async def test_only_a_sane_request_id_reaches_the_log(sent: bytes, taken_over: bool) -> None:
    seen: list[str] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(structlog.contextvars.get_contextvars()["request_id"])

    scope = {"type": "http", "headers": [(b"x-request-id", sent)]}
    await RequestIds(inner)(scope, cast(Receive, None), cast(Send, None))
    assert (seen == [sent.decode("latin-1")]) is taken_over
    assert seen[0].isascii()


async def test_a_page_that_is_not_there_is_a_problem_and_no_redirect(bench: Bench) -> None:
    for path in ("/internal/stats/", "/livez/", "/docs"):
        answer = await bench.http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path


async def test_every_reply_names_the_orchestrators(bench: Bench) -> None:
    await bench.submit(1)
    stats = await bench.call("/internal/stats", wire.StatsReply)
    lease = await bench.lease("w")
    job = await bench.call(f"/internal/jobs/{job_id(1)}?owner={OWNER}", wire.JobReply)
    assert stats.orchestrators == lease.orchestrators == job.orchestrators == [URL]


BAD = [
    ("/internal/submit", b""),
    ("/internal/submit", b"{"),
    ("/internal/submit", b"[]"),
    ("/internal/submit", b'{"jobs": []}'),
    ("/internal/submit", b"\xff\xfe"),
    ("/internal/submit", wire.Submit.model_construct(jobs=[new_job(1)] * 1001).model_dump_json().encode()),
    ("/internal/submit", wire.Submit(jobs=[new_job(1)]).model_dump_json().replace('"local"', '""').encode()),
    ("/internal/submit", wire.Submit(jobs=[new_job(1)]).model_dump_json().replace(job_id(1), "1").encode()),
    ("/internal/submit", wire.Submit(jobs=[new_job(1)]).model_dump_json().replace(":100,", ":0,").encode()),
    ("/internal/lease", b'{"worker_id": "w"}'),
    ("/internal/lease", b'{"worker_id":"w","incarnation":"i","capacity":-1,"chain_speed":1,"lanes":1}'),
    ("/internal/lease", b'{"worker_id":"w","incarnation":"i","capacity":1,"chain_speed":1,"lanes":1,"wait_s":1e9}'),
    *(
        ("/internal/lease", b'{"worker_id":"w","incarnation":"i","capacity":1,"chain_speed":1,"lanes":1,%b}' % more)
        for more in (
            b'"started_at":1e300',
            b'"started_at":1e999',
            b'"pid":%d' % 2**70,
            b'"paces":{"":{"capacity":1,"chain_speed":1,"lanes":1}}',
            b'"paces":{"%b":{"capacity":1,"chain_speed":1,"lanes":1}}' % (b"k" * 65),
            b'"paces":{"k":{"capacity":-1,"chain_speed":1,"lanes":1}}',
            b'"paces":{"k":{"capacity":1,"chain_speed":1,"lanes":0}}',
            b'"paces":{"k":{"capacity":1,"chain_speed":1}}',
            b'"paces":{%b}' % b",".join(b'"k%d":{"capacity":1,"chain_speed":1,"lanes":1}' % n for n in range(101)),
        )
    ),
    ("/internal/heartbeat", b'{"worker_id":"w","incarnation":"i","capacity":NaN,"chain_speed":1}'),
    ("/internal/report", b'{"worker_id":"w","incarnation":"i","completed":[{"job_id":"x","epoch":1}]}'),
]


@pytest.mark.parametrize(("path", "content"), BAD, ids=range(len(BAD)))
async def test_a_message_that_makes_no_sense_is_refused_and_changes_nothing(
    bench: Bench, path: str, content: bytes
) -> None:
    answer = await bench.http.post(path, content=content)
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_input"
    assert answer.json()["errors"]
    assert bench.store.rounds == []


async def test_a_list_longer_than_allowed_is_refused(bench: Bench) -> None:
    one = wire.HeldRef(job_id=job_id(1), epoch=1)
    message = wire.HeartbeatAsk.model_construct(
        worker_id="w", incarnation="i", capacity=1.0, chain_speed=1.0, holding=[one] * (wire.HELD_MAX + 1)
    )
    answer = await bench.http.post("/internal/heartbeat", content=message.model_dump_json())
    assert answer.status_code == 422
    assert bench.store.rounds == []


async def test_a_message_longer_than_any_that_makes_sense_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_BYTES_MAX", 1000)
    answer = await bench.http.post("/internal/submit", content=b" " * 1001)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_values_of_a_bad_message_are_not_repeated(bench: Bench) -> None:
    answer = await bench.http.post("/internal/submit", content=b'{"jobs": "my-secret"}')
    assert "my-secret" not in answer.text


@pytest.mark.parametrize(
    "query",
    ["results?owner=local&after=-1", "results?owner=local&limit=0", "results?owner=local&limit=1001",
     "results?owner=", "completed?owner=local&top=0", "completed?owner=local&top=10001", "jobs/nonsense?owner=local",
     "jobs?state=sleeping", "jobs?before=nonsense", "jobs?limit=0", "jobs?limit=1001", "tail?after=-1",
     "tail?wait_s=61", "tail?wait_s=nan"],
)  # fmt: skip
async def test_parameters_have_bounds(bench: Bench, query: str) -> None:
    assert (await bench.http.get(f"/internal/{query}")).status_code == 422


async def test_a_job_out_of_bounds_is_refused_alone() -> None:
    async with running(iterations_max=1000) as bench:
        backwards = new_job(3).model_copy(update={"done": 101})
        jobs = [new_job(1), new_job(2, total=1001), backwards, new_job(4, total=1000)]
        reply = await bench.call("/internal/submit", wire.SubmitReply, wire.Submit(jobs=jobs))
        assert [item.job_id or (item.error and item.error.code) for item in reply.results] == [
            job_id(1),
            "invalid_input",
            "invalid_input",
            job_id(4),
        ]


async def test_a_key_used_for_another_job_is_refused_alone(bench: Bench) -> None:
    first = new_job(1).model_copy(update={"key": "k"})
    repeated = new_job(2).model_copy(update={"key": "k", "state": first.state})
    other = new_job(3).model_copy(update={"key": "k"})
    reply = await bench.call("/internal/submit", wire.SubmitReply, wire.Submit(jobs=[first, repeated, other]))
    assert [item.job_id for item in reply.results] == [job_id(1), job_id(1), None]
    assert reply.results[2].error is not None
    assert reply.results[2].error.code == "key_reused"


async def test_a_full_queue_refuses_what_is_beyond() -> None:
    async with running(queue_jobs_max=2) as bench:
        reply = await bench.submit(1, 2, 3)
        assert [item.error.code if item.error else None for item in reply.results] == [None, None, "queue_full"]


async def test_the_job_of_another_owner_is_not_found(bench: Bench) -> None:
    await bench.submit(1)
    for method, path in (("GET", ""), ("POST", "/cancel")):
        answer = await bench.http.request(method, f"/internal/jobs/{job_id(1)}{path}?owner=other")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_without_an_owner_a_job_is_reached_whose_ever_it_is(bench: Bench) -> None:
    await bench.submit(1)
    await bench.submit(2, total=1)
    for path, found in (("results", [job_id(2)]), ("completed", [job_id(2)])):
        everybody = (await bench.http.get(f"/internal/{path}")).json()["results"]
        assert [one["job_id"] for one in everybody] == found
        assert (await bench.http.get(f"/internal/{path}?owner=other")).json()["results"] == []
    assert (await bench.http.get(f"/internal/jobs/{job_id(1)}")).json()["job"]["owner"] == OWNER
    assert (await bench.http.post(f"/internal/jobs/{job_id(1)}/cancel")).json()["job"]["state"] == "cancelled"


async def test_a_dead_job_is_requeued_once_and_no_other_is() -> None:
    async with running(attempts_max=1) as bench:
        await bench.submit(1, 2)
        url = f"/internal/jobs/{job_id(1)}/requeue?owner={OWNER}&new_id="
        answer = await bench.http.post(url + job_id(3))
        assert (answer.status_code, answer.json()["code"]) == (409, "job_not_dead")
        failure = wire.Failure(job_id=job_id(1), epoch=1, code="broken")
        await bench.lease("w")
        report = wire.ReportAsk(worker_id="w", incarnation="w-1", failed=[failure])
        await bench.call("/internal/report", wire.ReportReply, report)
        for new in (3, 4):
            assert (await bench.http.post(url + job_id(new))).json()["job_id"] == job_id(3)
            await bench.clock.advance(1)
        assert (await bench.job(3)).requeued_from == job_id(1)
        assert "dynwork_jobs_submitted_total 3.0" in (await bench.http.get("/metrics")).text
        for refused, status in ((url.replace(OWNER, "other") + job_id(5), 404), (url, 422), (url + "x", 422)):
            assert (await bench.http.post(refused)).status_code == status


async def test_jobs_are_listed_by_owner_and_state_page_by_page(bench: Bench) -> None:
    await bench.submit(1, 2, 3)
    await bench.submit(4, total=1)

    async def listed(query: str) -> tuple[list[str], str | None]:
        reply = await bench.call(f"/internal/jobs?{query}", wire.JobsReply)
        return [job.job_id for job in reply.jobs], reply.next

    assert await listed("") == ([job_id(4), job_id(3), job_id(2), job_id(1)], None)
    assert await listed(f"owner={OWNER}&state=queued&limit=2") == ([job_id(3), job_id(2)], job_id(2))
    assert await listed(f"owner={OWNER}&state=queued&limit=2&before={job_id(2)}") == ([job_id(1)], None)
    assert await listed("owner=other") == ([], None)


async def test_cancelling_twice_is_the_same_and_what_has_ended_stays(bench: Bench) -> None:
    await bench.submit(1)
    await bench.submit(2, total=1)
    url = f"/internal/jobs/{job_id(1)}/cancel?owner={OWNER}"
    first = await bench.http.post(url)
    await bench.clock.advance(1)
    second = await bench.http.post(url)
    assert first.json()["job"] == second.json()["job"]
    assert first.json()["job"]["state"] == "cancelled"
    answer = await bench.http.post(f"/internal/jobs/{job_id(2)}/cancel?owner={OWNER}")
    assert (answer.status_code, answer.json()["code"]) == (409, "job_finished")
    assert "dynwork_jobs_cancelled_total 1.0" in (await bench.http.get("/metrics")).text


async def test_a_cursor_older_than_retention_is_gone() -> None:
    async with running(retention_s=10) as bench:
        await bench.submit(1, 2, total=1)
        await bench.clock.advance(12)
        answer = await bench.http.get(f"/internal/results?owner={OWNER}&after=0")
        assert (answer.status_code, answer.json()["code"]) == (410, "cursor_expired")


async def test_while_the_store_is_away_callers_are_told_to_come_back(bench: Bench) -> None:
    bench.store.away = True
    answer = await bench.http.post("/internal/submit", content=wire.Submit(jobs=[new_job(1)]).model_dump_json())
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_repeated_submission_is_one_job(bench: Bench) -> None:
    assert (await bench.submit(1)).results == (await bench.submit(1)).results
    assert (await bench.store.totals()).submitted == 1
