"""Every method of the client: what is sent, what comes back, and what is raised for which code."""

from __future__ import annotations

import httpx
import pytest

from dynwork import AsyncClient, Client, errors
from dynwork.testing.public_api import ENDED_AT, VirtualTime, job_view, problem

URL = "http://api.test"
JOB_ID = "01900000-0000-7000-8000-000000000000"
STATS = {
    "queued": 1,
    "leased": 2,
    "succeeded": 3,
    "dead": 4,
    "cancelled": 5,
    "backlog_steps": 6.0,
    "backlog_s": None,
    "submitted_per_s": 0.0,
    "completed_per_s": 0.0,
    "oldest_wait_s": 0.0,
}
FLEET = {"min": 1, "max": 4, "workers": [], "instances": [], "leader": None, "decision": None}


class Script:
    """Answers in order, and what was asked."""

    def __init__(self, *answers: httpx.Response) -> None:
        self._answers = iter(answers)
        self.requests: list[httpx.Request] = []
        self.time = VirtualTime()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return next(self._answers)

    def client(self, api_key: str | None = None) -> AsyncClient:
        return AsyncClient(URL, api_key=api_key, patience_s=0, outside=self.time.outside(self))

    def sync(self) -> Client:
        return Client(URL, patience_s=0, outside=self.time.outside_sync(self))

    @property
    def asked(self) -> list[str]:
        return [f"{request.method} {request.url.raw_path.decode()}" for request in self.requests]


def ok(body: object, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=body)


async def test_each_method_asks_its_route_and_reads_the_answer() -> None:
    completed = [{"job_id": JOB_ID, "hash": "ab", "iterations": 7, "completed_at": ENDED_AT}]
    page = {"results": [], "next": "c9"}
    answers = [job_view(JOB_ID), job_view(JOB_ID, "cancelled"), {"job_id": "new"}, completed, STATS, FLEET, page, page]
    script = Script(*map(ok, answers))
    async with script.client() as client:
        assert (await client.job(JOB_ID)).state == "queued"
        assert (await client.cancel(JOB_ID)).state == "cancelled"
        assert await client.requeue(JOB_ID) == "new"
        assert [item.hash for item in await client.pull(3)] == ["ab"]
        assert (await client.stats()).dead == 4
        assert (await client.fleet()).max == 4
        assert (await client.results("c1", limit=5, wait_s=2)).next == "c9"
        assert await client.position() == "c9"
    assert script.asked == [
        f"GET /jobs/{JOB_ID}",
        f"DELETE /jobs/{JOB_ID}",
        f"POST /jobs/{JOB_ID}/requeue",
        "POST /pullCompleted?top=3",
        "GET /stats",
        "GET /fleet",
        "GET /results?after=c1&limit=5&wait_s=2",
        "GET /results?after=newest&limit=1",
    ]


def test_the_synchronous_client_does_the_same() -> None:
    script = Script(ok(job_view(JOB_ID)), ok(STATS), ok({"results": [{"job_id": JOB_ID}]}, 202))
    with script.sync() as client:
        assert client.job(JOB_ID).state == "queued"
        assert client.stats().dead == 4
        assert client.submit(b"bytes", 7) == JOB_ID
    assert script.asked == [f"GET /jobs/{JOB_ID}", "GET /stats", "POST /jobs"]


async def test_an_id_is_one_piece_of_a_path_whatever_it_holds() -> None:
    script = Script(problem(422, "invalid_input"))
    async with script.client() as client:
        with pytest.raises(errors.InvalidInputError):
            await client.requeue("../stats?a#b")
    assert script.asked == ["POST /jobs/..%2Fstats%3Fa%23b/requeue"]


@pytest.mark.parametrize("job_id", ["", ".", "..", "\udcff"])
async def test_what_can_be_no_id_is_refused_before_anything_is_sent(job_id: str) -> None:
    script = Script()
    async with script.client() as client:
        for call in (client.job, client.cancel, client.requeue, client.result):
            with pytest.raises(errors.InvalidInputError, match="is the id of no job"):
                await call(job_id)
    assert script.asked == []


async def test_a_key_is_sent_as_it_is() -> None:
    script = Script(ok(STATS))
    async with script.client("ключ") as client:
        await client.stats()
    assert (b"Authorization", "Bearer ключ".encode()) in script.requests[0].headers.raw


def test_what_is_not_given_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNWORK_URL", "http://one.test:8000, http://two.test")
    monkeypatch.setenv("DYNWORK_API_KEY", "k")
    script = Script(ok(STATS), ok(STATS))
    with Client(outside=script.time.outside_sync(script)) as client:
        client.stats()
        client.stats()
    assert [request.url.host for request in script.requests] == ["one.test", "two.test"]
    assert {request.headers["Authorization"] for request in script.requests} == {"Bearer k"}


@pytest.mark.parametrize(
    "url", ["http://[::1", "http://127.0.0.1:port", "ftp://host", "host:8000", "", "http://host/?x=1", "http://host/#x"]
)
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(errors.ConfigurationError):
        AsyncClient(url)


def test_a_password_in_an_address_is_refused_and_not_told() -> None:
    with pytest.raises(errors.ConfigurationError, match="DYNWORK_API_KEY") as raised:
        AsyncClient("http://user:hush@host")
    assert "hush" not in raised.value.detail


@pytest.mark.parametrize("patience_s", [-1.0, float("nan")])
def test_a_patience_that_is_none_is_refused_at_once(patience_s: float) -> None:
    with pytest.raises(errors.ConfigurationError, match="DYNWORK_PATIENCE_S"):
        AsyncClient("http://host", patience_s=patience_s)


async def test_a_wait_that_is_no_time_is_refused() -> None:
    async with Script().client() as client:
        for call in (client.job, client.result):
            with pytest.raises(errors.InvalidInputError, match="wait_s"):
                await call(JOB_ID, wait_s=float("nan"))


@pytest.mark.parametrize("key", ["hush\n", " hush", "hu\nsh", "hu\x00sh"])
def test_a_key_that_no_header_can_carry_is_refused_at_once_and_not_told(key: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="DYNWORK_API_KEY") as raised:
        AsyncClient("http://host", api_key=key)
    assert key.strip() not in raised.value.detail


@pytest.mark.parametrize("code", sorted(errors.BY_CODE))
async def test_a_refusal_is_the_error_of_its_code(code: str) -> None:
    script = Script(problem(409, code, "the detail"))
    async with script.client() as client:
        with pytest.raises(errors.BY_CODE[code]) as raised:
            await client.stats()
    assert (type(raised.value), raised.value.detail) == (errors.BY_CODE[code], "the detail")


@pytest.mark.parametrize(
    ("status", "kind"), [(418, errors.RefusedError), (503, errors.UnavailableError), (500, errors.DynworkError)]
)
async def test_a_code_of_a_later_release_is_told_by_its_status(status: int, kind: type[errors.DynworkError]) -> None:
    script = Script(problem(status, "brand_new", "do that"))
    async with script.client() as client:
        with pytest.raises(errors.DynworkError) as raised:
            await client.stats()
    assert (type(raised.value), raised.value.detail) == (kind, "brand_new: do that")


@pytest.mark.parametrize("answer", [httpx.Response(404, text="<html>"), httpx.Response(200, text="<html>"), ok([1])])
async def test_what_is_no_answer_of_an_api_is_said_to_be_so(answer: httpx.Response) -> None:
    script = Script(answer)
    async with script.client() as client:
        with pytest.raises(errors.UnexpectedAnswerError, match=r"is api\.test one\?"):
            await client.stats()


async def test_result_waits_in_parts_that_an_api_parks_and_returns_the_hash() -> None:
    script = Script(ok(job_view(JOB_ID)), ok(job_view(JOB_ID)), ok(job_view(JOB_ID, "succeeded")))
    async with script.client() as client:
        assert await client.result(JOB_ID) == "ab" * 64
    assert script.asked == [f"GET /jobs/{JOB_ID}?wait_s=30"] * 3
    assert sum(script.time.slept) == pytest.approx(0.5), "an API that does not park the call is not asked in a rush"


@pytest.mark.parametrize(
    ("state", "kind", "words"),
    [("dead", errors.JobDeadError, "kind_error: it broke"), ("cancelled", errors.JobCancelledError, "cancelled")],
)
async def test_a_job_without_a_result_raises_how_it_ended(
    state: str, kind: type[errors.DynworkError], words: str
) -> None:
    async with Script(ok(job_view(JOB_ID, state))).client() as client:
        with pytest.raises(kind, match=words):
            await client.result(JOB_ID)


async def test_a_job_that_takes_longer_than_one_wants_to_wait_raises_and_goes_on() -> None:
    script = Script(*[ok(job_view(JOB_ID))] * 5)
    async with script.client() as client:
        with pytest.raises(errors.JobUnfinishedError, match=r"within 0\.6 s"):
            await client.result(JOB_ID, wait_s=0.6)
    assert script.asked == [f"GET /jobs/{JOB_ID}"] * 4, "an API takes whole seconds only"
    assert script.time.now == pytest.approx(100.75, abs=0.2)


async def test_jobs_walks_over_short_and_empty_pages_to_the_end() -> None:
    pages = [([JOB_ID], "c1"), ([], "c2"), (["b", "c"], None)]
    script = Script(*(ok({"jobs": [job_view(job) for job in jobs], "next": after}) for jobs, after in pages))
    async with script.client() as client:
        found = [job.job_id async for job in client.jobs(state="dead", owner="me")]
    assert found == [JOB_ID, "b", "c"]
    assert script.asked[2] == "GET /jobs?state=dead&owner=me&limit=1000&cursor=c2"


async def test_jobs_gives_no_more_than_wanted() -> None:
    script = Script(ok({"jobs": [job_view(job) for job in "abc"], "next": "c1"}))
    async with script.client() as client:
        assert [job.job_id async for job in client.jobs(limit=2)] == ["a", "b"]


async def test_a_feed_whose_api_does_not_park_the_call_is_not_asked_in_a_rush() -> None:
    entry = {name: job_view(JOB_ID, "dead")[name] for name in ("job_id", "state", "hash", "iterations", "completed_at")}
    pages = [{"results": [], "next": "1"}, {"results": [{**entry, "error": None}], "next": "2"}]
    script = Script(*map(ok, pages))
    async with script.client() as client:
        async for _ in client.follow():
            break
    assert script.time.slept == [0.25]
