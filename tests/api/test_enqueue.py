"""``PUT /enqueue``: what is accepted, what is refused, and that the buffer is never held."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from dynwork import errors
from dynwork.testing.api import ONE, TOKEN, TWO, api_instance
from dynwork.testing.orchestrators import LOST, REFUSED, FakeOrchestrators, refusing, replying

UUID7 = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")


class RecordingKind:
    """A kind whose starter notes the lengths of the pieces it is given."""

    name = "recording"
    releases_gil = True
    state_bytes_max = 64
    lanes = 1

    def __init__(self) -> None:
        self.pieces: list[int] = []
        self.finished = 0

    def start(self) -> RecordingKind:
        return self

    def update(self, piece: bytes) -> None:
        self.pieces.append(len(piece))

    def finish(self) -> tuple[bytes, int]:
        self.finished += 1
        return b"state", 0

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> tuple[list[bytes], list[int]]:
        raise AssertionError("an API never computes")


async def pieces(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * size


async def test_a_buffer_becomes_the_start_of_its_chain() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        answer = await api.client.put("/enqueue?iterations=5&priority=7", content=b"hello")
        assert answer.status_code == 202
        job_id = answer.json()["job_id"]
        assert answer.json() == {"job_id": job_id}
        assert UUID7.match(job_id)
        job = api.far.jobs[job_id]
        assert (job.state, job.done, job.total) == (hashlib.sha512(b"hello").digest(), 1, 5)
        assert (job.owner, job.key, job.kind, job.priority) == ("local", None, "sha512-chain", 7)
        assert await api.metric("dynwork_api_received_bytes_total") == 5


async def test_one_iteration_is_complete_on_arrival() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        answer = await api.client.put("/enqueue?iterations=1", content=b"x")
        job = api.far.jobs[answer.json()["job_id"]]
        assert (job.done, job.total, job.priority) == (1, 1, 5)


async def test_the_orchestrator_is_shown_the_role_s_token_and_the_request_s_id() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        await api.client.put("/enqueue?iterations=1", content=b"x")
        assert {call.headers["Authorization"] for call in api.far.calls} == {f"Bearer {TOKEN}"}
        await api.client.get("/stats", headers={"X-Request-ID": "mine-1"})
        assert api.far.calls[-1].headers["X-Request-ID"] == "mine-1"


async def test_the_body_goes_to_the_kind_piece_by_piece_and_is_never_joined() -> None:
    kind = RecordingKind()
    async with api_instance(FakeOrchestrators(), lambda _name: kind) as api:
        answer = await api.client.put("/enqueue?iterations=9&kind=recording", content=pieces(200, 1000))
        assert answer.status_code == 202
        assert [size for size in kind.pieces if size] == [1000] * 200
        job = api.far.jobs[answer.json()["job_id"]]
        assert (job.kind, job.state, job.done, job.total) == ("recording", b"state", 0, 9)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "iterations"),
        ("?iterations=0", "iterations"),
        ("?iterations=-1", "iterations"),
        ("?iterations=many", "iterations"),
        ("?iterations=1e2", "iterations"),
        ("?iterations=3.0", "iterations"),
        ("?iterations=1_0", "iterations"),
        ("?iterations=%203", "iterations"),
        ("?iterations=%D9%A3", "iterations"),
        ("?iterations=1001", "iterations"),
        ("?iterations=1&priority=10", "priority"),
        ("?iterations=1&priority=-1", "priority"),
        ("?iterations=1&kind=", "kind"),
    ],
)
async def test_a_bad_parameter_is_refused_by_name_before_the_body_is_read(query: str, field: str) -> None:
    kind = RecordingKind()
    async with api_instance(FakeOrchestrators(), lambda _name: kind, iterations_max=1000) as api:
        answer = await api.client.put("/enqueue" + query, content=pieces(10, 10))
        assert answer.status_code == 422
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["code"] == "invalid_input"
        assert [item["field"] for item in answer.json()["errors"]] == [field]
        assert kind.pieces == []
        assert api.far.calls == []


@pytest.mark.parametrize(
    ("iterations", "why"),
    [("9" * 23, "less than or equal to 1000"), ("-" + "9" * 23, "greater than or equal to 1"), ("9" * 5000, "maximum")],
)
async def test_of_a_number_that_is_far_too_large_the_bound_is_told(iterations: str, why: str) -> None:
    async with api_instance(FakeOrchestrators(), iterations_max=1000) as api:
        answer = await api.client.put(f"/enqueue?iterations={iterations}", content=b"x")
        (fault,) = answer.json()["errors"]
        assert fault["field"] == "iterations"
        assert why in fault["message"]


async def test_the_most_iterations_allowed_are_accepted() -> None:
    async with api_instance(FakeOrchestrators(), iterations_max=1000) as api:
        assert (await api.client.put("/enqueue?iterations=1000", content=b"x")).status_code == 202


@pytest.mark.parametrize("key", [b"", b"x" * 257, b"tab\there", "café".encode("latin-1")])
async def test_a_key_that_is_not_1_to_256_printable_characters_is_refused(key: bytes) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        answer = await api.client.put("/enqueue?iterations=1", content=b"x", headers={b"Idempotency-Key": key})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "idempotency-key"


async def test_an_unknown_kind_is_refused_with_the_known_ones_before_the_body_is_read() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        answer = await api.client.put("/enqueue?iterations=1&kind=md5-chain", content=b"x")
        assert (answer.status_code, answer.json()["code"]) == (422, "unknown_kind")
        assert "sha512-chain" in answer.json()["detail"]
        assert await api.metric("dynwork_api_received_bytes_total") == 0


async def test_a_buffer_that_means_nothing_to_its_kind_is_refused_in_the_kind_s_words() -> None:
    class Particular(RecordingKind):
        def finish(self) -> tuple[bytes, int]:
            raise errors.InvalidInputError("the buffer must be a prime number")

    async with api_instance(FakeOrchestrators(), lambda _name: Particular()) as api:
        answer = await api.client.put("/enqueue?iterations=1&kind=particular", content=b"4")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
        assert answer.json()["detail"] == "the buffer must be a prime number"
        assert api.far.calls == []


async def test_an_empty_body_is_refused() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        answer = await api.client.put("/enqueue?iterations=1", content=b"")
        assert (answer.status_code, answer.json()["code"]) == (400, "empty_body")
        assert api.far.calls == []


async def test_a_body_of_exactly_the_limit_is_accepted_and_one_byte_more_is_refused() -> None:
    async with api_instance(FakeOrchestrators(), body_bytes_max=100) as api:
        assert (await api.client.put("/enqueue?iterations=1", content=b"x" * 100)).status_code == 202
        for content in (b"x" * 101, pieces(101, 1)):  # announced, and found out while it streams
            answer = await api.client.put("/enqueue?iterations=1", content=content)
            assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
            assert answer.headers["Connection"] == "close"
        assert len(api.far.jobs) == 1


async def test_an_announced_length_beyond_the_limit_is_refused_before_a_byte_is_read() -> None:
    kind = RecordingKind()
    async with api_instance(FakeOrchestrators(), lambda _name: kind, body_bytes_max=100) as api:
        answer = await api.client.put("/enqueue?iterations=1", content=b"x" * 101)
        assert answer.status_code == 413
        assert kind.pieces == []


async def test_reading_stops_at_the_piece_that_passes_the_limit() -> None:
    kind = RecordingKind()
    async with api_instance(FakeOrchestrators(), lambda _name: kind, body_bytes_max=100) as api:
        assert (await api.client.put("/enqueue?iterations=1", content=pieces(50, 40))).status_code == 413
        assert kind.pieces == [40, 40]
        assert kind.finished == 0


async def test_the_same_key_and_job_get_the_first_id_and_another_job_is_refused() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        headers = {"Idempotency-Key": "order 17"}
        first = await api.client.put("/enqueue?iterations=3", content=b"x", headers=headers)
        again = await api.client.put("/enqueue?iterations=3", content=b"x", headers=headers)
        other = await api.client.put("/enqueue?iterations=4", content=b"x", headers=headers)
        assert again.json() == first.json()
        assert (other.status_code, other.json()["code"]) == (409, "key_reused")
        assert len(api.far.jobs) == 1


async def test_a_lost_answer_is_asked_for_again_at_the_next_orchestrator_and_makes_one_job() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        api.far.fail(ONE, LOST)
        answer = await api.client.put("/enqueue?iterations=3", content=b"x")
        assert answer.status_code == 202
        assert [call.url.host for call in api.far.calls] == ["one", "two"]
        assert list(api.far.jobs) == [answer.json()["job_id"]]


async def test_503_comes_only_after_every_orchestrator_was_tried() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        api.far.fail(ONE, REFUSED, forever=True)
        api.far.fail(TWO, replying(500), forever=True)
        answer = await api.client.put("/enqueue?iterations=3", content=b"x")
        assert (answer.status_code, answer.json()["code"]) == (503, "no_orchestrator")
        assert int(answer.headers["Retry-After"]) >= 1
        assert [call.url.host for call in api.far.calls] == ["one", "two"]
        assert "8100" not in answer.text  # addresses inside are nobody's business outside


async def test_an_orchestrator_that_refuses_our_token_is_not_held_against_the_client() -> None:
    async with api_instance(FakeOrchestrators()) as api:
        for url in (ONE, TWO):
            api.far.fail(url, refusing(errors.UnauthorizedError("show the role's token")), forever=True)
        answer = await api.client.put("/enqueue?iterations=3", content=b"x")
        assert (answer.status_code, answer.json()["code"]) == (503, "no_orchestrator")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.QueueFullError("full"), 429),
        (errors.KeyReusedError("used"), 409),
        (errors.InvalidInputError("bad"), 422),
        (errors.UnknownKindError("what"), 422),
        (errors.StoreUnavailableError("not committed"), 503),
    ],
)
async def test_what_an_orchestrator_says_of_one_item_is_that_request_s_answer(
    error: errors.DynworkError, status: int
) -> None:
    async with api_instance(FakeOrchestrators()) as api:
        api.far.item_errors["mine"] = error
        answer = await api.client.put("/enqueue?iterations=3", content=b"x", headers={"Idempotency-Key": "mine"})
        assert (answer.status_code, answer.json()["code"]) == (status, error.code)
        assert answer.json()["detail"] == error.detail
        assert ("Retry-After" in answer.headers) == (status in (429, 503))


async def test_a_code_that_means_nothing_here_is_a_503() -> None:
    class NewerError(errors.DynworkError):
        code = "from_the_future"

    async with api_instance(FakeOrchestrators()) as api:
        api.far.item_errors["mine"] = NewerError("unheard of")
        answer = await api.client.put("/enqueue?iterations=3", content=b"x", headers={"Idempotency-Key": "mine"})
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


async def test_two_api_instances_serve_the_same_owner() -> None:
    far = FakeOrchestrators()
    keys: dict[str, Any] = {"api_keys": ("team:s3cr3t",)}
    mine = {"Authorization": "Bearer s3cr3t", "Idempotency-Key": "once"}
    async with api_instance(far, **keys) as first, api_instance(far, **keys) as second:
        entered = await first.client.put("/enqueue?iterations=3", content=b"x", headers=mine)
        repeated = await second.client.put("/enqueue?iterations=3", content=b"x", headers=mine)
        assert entered.json() == repeated.json()
        job_id = entered.json()["job_id"]
        far.finish(job_id, "ab" * 64)
        for api in (first, second):
            seen = await api.client.get(f"/jobs/{job_id}", headers=mine)
            assert (seen.status_code, seen.json()["hash"]) == (200, "ab" * 64)
            page = (await api.client.get("/results", headers=mine)).json()
            assert [entry["job_id"] for entry in page["results"]] == [job_id]
        over_first = (await first.client.get("/results", headers=mine)).json()["next"]
        assert (await second.client.get(f"/results?after={over_first}", headers=mine)).json()["results"] == []
