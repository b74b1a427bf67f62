"""Every call that a client makes, as a value: what is sent, and how the answer is read. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from dynwork import errors
from dynwork.wire import (
    Accepted,
    BulkReply,
    BulkResult,
    CompletedView,
    Fleet,
    JobsPage,
    JobStateName,
    JobView,
    Problem,
    ResultsPage,
    Stats,
    Wire,
)

WAIT_S_MAX = 30
"""Longest that an API parks one call, seconds; it takes whole ones only."""
PAGE_MAX = 1000
"""Entries of one page at most."""
NEWEST = "newest"
"""As a cursor: only what ends from now on."""
NO_IDS = ("", ".", "..")
"""What a path takes for something else than the name of a job."""
_BROKEN_WAYS = (429, 502, 503, 504)
"""What proxies and load balancers answer in place of an API that they do not reach, or do not want to ask now."""

T = TypeVar("T")
WireT = TypeVar("WireT", bound=Wire)


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One call; it may be repeated. ``read`` raises ``ValueError`` for a body that makes no sense.

    ``wait_s``: how long the API may park it, seconds.
    """

    method: str
    path: str
    read: Callable[[bytes], T]
    params: Mapping[str, str | int] = field(default_factory=dict)
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    wait_s: int = 0

    def understand(self, answer: httpx.Response) -> T:
        """Return what was answered.

        Raises the refusal, by its code; ``UnavailableError`` for what may be different soon; and
        ``UnexpectedAnswerError`` for what is none of an API's.
        """
        if answer.is_success:
            try:
                return self.read(answer.content)
            except ValueError:
                raise _not_an_api_s(answer) from None
        wait = answer.headers.get("Retry-After", "")
        retry_after_s = float(wait) if wait.isascii() and wait.isdigit() else None
        try:
            problem = Problem.model_validate_json(answer.content)
        except ValidationError:
            if answer.status_code in _BROKEN_WAYS:
                told = f"status {answer.status_code} from a proxy"
                raise errors.NoAnswerError(told, retry_after_s=retry_after_s) from None
            if answer.status_code == 413:
                raise errors.BodyTooLargeError("status 413 from a proxy") from None
            raise _not_an_api_s(answer) from None
        raise _error_of(problem, retry_after_s) from None


def _error_of(problem: Problem, retry_after_s: float | None) -> errors.DynworkError:
    error = errors.of_code(problem.code, problem.detail, fields=problem.errors, retry_after_s=retry_after_s)
    if error is not None:
        return error
    told = f"{problem.code}: {problem.detail}"  # of a release after this one, or a defect
    if problem.status in (429, 503):
        return errors.UnavailableError(told, retry_after_s=retry_after_s)
    return errors.RefusedError(told) if problem.status < 500 else errors.DynworkError(told)


def _not_an_api_s(answer: httpx.Response) -> errors.UnexpectedAnswerError:
    host = answer.url.netloc.decode()
    return errors.UnexpectedAnswerError(f"status {answer.status_code}, and not what a dynwork API says: is {host} one?")


def _reader(model: type[WireT]) -> Callable[[bytes], WireT]:
    return model.model_validate_json


def _job_path(job_id: str) -> str:
    """Return where the job is, as one piece of a path whatever the id holds.

    Raises ``InvalidInputError`` for what no id can be: it would lead away from the jobs.
    """
    if job_id in NO_IDS or not is_utf8(job_id):
        raise errors.InvalidInputError(f"{job_id!r} is the id of no job")
    return f"/jobs/{quote(job_id, safe='')}"


def is_utf8(text: str) -> bool:
    """Say whether ``text`` can be sent: names of files may hold bytes that are no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _given(**params: str | int | None) -> dict[str, str | int]:
    return {name: value for name, value in params.items() if value is not None}


def bulk(body: bytes) -> Call[BulkReply]:
    """``POST /jobs``."""
    return Call("POST", "/jobs", _reader(BulkReply), content=body, headers={"Content-Type": "application/json"})


def _accepted_as_bulk(content: bytes) -> BulkReply:
    job_id = Accepted.model_validate_json(content).job_id
    return BulkReply(results=[BulkResult(job_id=job_id, repeated=True)])  # it may be: it is not told


def enqueue(body: bytes, item: Mapping[str, str | int]) -> Call[BulkReply]:
    """``PUT /enqueue``, answered like a bulk of one. ``item``: as in a bulk, with its ``key``."""
    params = {name: value for name, value in item.items() if name != "key"}
    headers = {"Idempotency-Key": str(item["key"]), "Content-Type": "application/octet-stream"}
    return Call("PUT", "/enqueue", _accepted_as_bulk, params, body, headers)


def job(job_id: str, wait_s: int = 0) -> Call[JobView]:
    """``GET /jobs/{id}``."""
    return Call("GET", _job_path(job_id), _reader(JobView), _given(wait_s=wait_s or None), wait_s=wait_s)


def jobs(state: JobStateName | None, owner: str | None, limit: int, cursor: str | None) -> Call[JobsPage]:
    """``GET /jobs``."""
    return Call("GET", "/jobs", _reader(JobsPage), _given(state=state, owner=owner, limit=limit, cursor=cursor))


def cancel(job_id: str) -> Call[JobView]:
    """``DELETE /jobs/{id}``."""
    return Call("DELETE", _job_path(job_id), _reader(JobView))


def requeue(job_id: str) -> Call[Accepted]:
    """``POST /jobs/{id}/requeue``."""
    return Call("POST", f"{_job_path(job_id)}/requeue", _reader(Accepted))


def results(after: str | None, limit: int, wait_s: int) -> Call[ResultsPage]:
    """``GET /results``."""
    params = _given(after=after, limit=limit, wait_s=wait_s or None)
    return Call("GET", "/results", _reader(ResultsPage), params, wait_s=wait_s)


def pull(top: int) -> Call[list[CompletedView]]:
    """``POST /pullCompleted``."""
    return Call("POST", "/pullCompleted", TypeAdapter(list[CompletedView]).validate_json, {"top": top})


def stats() -> Call[Stats]:
    """``GET /stats``."""
    return Call("GET", "/stats", _reader(Stats))


def fleet() -> Call[Fleet]:
    """``GET /fleet``."""
    return Call("GET", "/fleet", _reader(Fleet))
