"""``POST /jobs``: many small jobs in one request.

The message is read whole, so all such messages together are bounded in bytes, and each of them in time. Each item is
judged for itself: one that is wrong gets its error in its place, and the others go on. Large messages are taken apart
and hashed in a thread, away from the event loop.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError

from dynwork import errors
from dynwork.api.auth import KeyGuard, holder, owner
from dynwork.api.bodies import Bodies, Patience
from dynwork.api.refusals import refusals
from dynwork.api.room import Room
from dynwork.api.submissions import Submissions
from dynwork.kinds import DEFAULT_KIND, Kind
from dynwork.rights import Right
from dynwork.wire import BULK_JOBS_MAX, BulkFault, BulkJob, BulkJobs, BulkReply, BulkResult, NewJob

PATIENCE = Patience(still_s_max=10.0, whole_s_max=60.0)
"""A message takes up room until it is complete."""
AT_ONCE_BYTES_MAX = 64 * 1024
"""A message up to this long is taken apart in the event loop: a thread would take longer."""
MARKS_MAX = 300 * BULK_JOBS_MAX
"""Commas and opening brackets in a message: 300 an item, whose key may have 256. Each may become a value in memory."""

DIGITS_MAX = 40
"""Digits of a number that are looked at."""

FIELDS_MAX = len(BulkJob.model_fields)

BODY = {
    "required": True,
    "description": "1 to 1000 jobs.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["jobs"],
                "properties": {
                    "jobs": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 1000,
                        "items": {"$ref": "#/components/schemas/BulkJob"},
                    }
                },
            },
            "examples": {
                "buffers": {
                    "summary": "Two buffers, with keys that make repeating harmless",
                    "value": {
                        "jobs": [
                            {"data": "aGVsbG8=", "iterations": 100000, "key": "run-7/1"},
                            {"data": "d29ybGQ=", "iterations": 5, "priority": 9, "key": "run-7/2"},
                        ]
                    },
                },
                "digests": {
                    "summary": "A buffer that was hashed once where it is",
                    "value": {"jobs": [{"sha512": hashlib.sha512(b"hello").hexdigest(), "iterations": 100000}]},
                },
            },
        }
    },
}


@dataclass(frozen=True, slots=True)
class Reader:
    """Makes jobs of a message. ``kind_named`` raises ``UnknownKindError``."""

    iterations_max: int
    kind_named: Callable[[str], Kind]
    new_id: Callable[[], str]

    def read(self, owner_name: str, body: bytes | bytearray) -> list[NewJob | errors.RefusedError]:
        """Return for each item the job, or why there is none. Raises ``InvalidInputError`` if there are no items."""
        if sum(map(body.count, b",[{")) > MARKS_MAX:
            raise _refused(f"more than {MARKS_MAX} commas and brackets: 1 to {BULK_JOBS_MAX} flat items are expected")
        return [self._item(owner_name, item) for item in _items(body)]

    def _item(self, owner_name: str, item: object) -> NewJob | errors.RefusedError:
        if isinstance(item, dict) and len(item) > FIELDS_MAX:
            return errors.InvalidInputError(f"an item has {FIELDS_MAX} fields at most")
        try:
            given = BulkJob.model_validate(item)
            state, done = self._start(given)
        except ValidationError as error:
            return _invalid(error)
        except errors.RefusedError as error:
            return error
        if given.iterations > self.iterations_max:
            return errors.InvalidInputError(f"iterations: at most {self.iterations_max}")
        return NewJob(
            job_id=self.new_id(),
            owner=owner_name,
            key=given.key,
            kind=given.kind,
            state=state,
            done=done,
            total=given.iterations,
            priority=given.priority,
        )

    def _start(self, given: BulkJob) -> tuple[bytes, int]:
        """Return the state of the chain and the steps done."""
        if (given.data is None) == (given.sha512 is None):
            raise errors.InvalidInputError("an item has either data or sha512")
        if given.sha512 is not None:
            if given.kind != DEFAULT_KIND:
                raise errors.InvalidInputError(f"sha512: only {DEFAULT_KIND} begins with a digest; send data")
            return bytes.fromhex(given.sha512), 1
        starter = self.kind_named(given.kind).start()
        try:
            buffer = base64.b64decode(given.data or "", validate=True)
        except (binascii.Error, ValueError):
            raise errors.InvalidInputError("data: not base64 (RFC 4648, section 4, with padding)") from None
        if not buffer:
            raise errors.EmptyBodyError("data: a buffer has 1 byte or more")
        starter.update(buffer)
        return starter.finish()


def router(guard: KeyGuard, submissions: Submissions, bodies: Bodies, reader: Reader) -> APIRouter:
    """Return the route."""
    routes = APIRouter(tags=["work"])
    room = Room(bodies.bounds.body_bytes_max)

    @routes.post(
        "/jobs",
        dependencies=[guard.needs(Right.SUBMIT)],
        status_code=202,
        response_model=BulkReply,
        summary="Hand in many jobs",
        response_description="What became of each, in the order of the request.",
        description=(
            "Up to 1000 jobs in one message. Each is answered for itself and in order: its `job_id`, or the `error` for"
            " which it was refused; the others are not affected. `repeated` tells that a key was known already. If none"
            " of those that are well formed could be made durable just now, the whole request is answered 503 (429 if"
            " the queue is full): repeat it with the same keys. A message that is not JSON, or holds no list of 1 to"
            " 1000 `jobs`, is refused whole."
            f" The message must be here after {PATIENCE.whole_s_max:.0f} s, and may not stand still for"
            f" {PATIENCE.still_s_max:.0f} s on its way."
        ),
        openapi_extra={"requestBody": BODY},
        responses=refusals(
            errors.ClientGoneError,
            errors.BodyTooSlowError,
            errors.BodyTooLargeError,
            errors.InvalidInputError,
            errors.QueueFullError,
            errors.UnavailableError,
        ),
    )
    async def enqueue_many(request: Request) -> Response:
        with room.message(holder(request)) as message:
            await bodies.receive(request, message.add, PATIENCE)
            read = partial(reader.read, owner(request), message.body)
            items = await asyncio.to_thread(read) if len(message.body) > AT_ONCE_BYTES_MAX else read()
        jobs = [item for item in items if isinstance(item, NewJob)]
        with submissions.admitted(len(jobs)):
            answers = await submissions.submit_all(jobs)
        reply = BulkReply(results=_results(items, answers))
        return Response(reply.model_dump_json(exclude_none=True), 202, media_type="application/json")

    return routes


def _items(body: bytes | bytearray) -> list[object]:
    """Take a message apart. Raises ``InvalidInputError``.

    JSON may have what no text and no number here can be, half a surrogate pair or thousands of digits. The reader of
    the model refuses a message for one such value; Python's goes on. It is asked where it takes no more memory: ASCII.
    """
    try:
        return BulkJobs.model_validate_json(body).jobs
    except ValidationError as error:
        try:
            read = json.loads(body.decode("ascii"), parse_int=_integer)
        except (ValueError, RecursionError):
            raise _invalid(error) from None
    try:
        return BulkJobs.model_validate(read).jobs
    except ValidationError as error:
        raise _invalid(error) from None


def _integer(digits: str) -> int:
    """Return a number, of a very long one what is beyond every bound as well."""
    return int(digits[:DIGITS_MAX])


def _results(
    items: Sequence[NewJob | errors.RefusedError], answers: Sequence[str | errors.DynworkError]
) -> list[BulkResult]:
    """Put the answers where the items were. Raises what befell all of them, if that may pass."""
    unavailable = [answer for answer in answers if isinstance(answer, errors.UnavailableError)]
    if unavailable and len(unavailable) == len(answers):
        raise unavailable[0]
    waiting = iter(answers)
    results = []
    for item in items:
        answer = next(waiting) if isinstance(item, NewJob) else item
        if isinstance(answer, str):
            repeated = True if isinstance(item, NewJob) and answer != item.job_id else None
            results.append(BulkResult(job_id=answer, repeated=repeated))
        else:
            results.append(BulkResult(error=BulkFault(code=answer.code, detail=answer.detail)))
    return results


def _refused(message: str) -> errors.InvalidInputError:
    return errors.InvalidInputError(f"jobs: {message}", errors=[{"field": "jobs", "message": message}])


def _invalid(error: ValidationError) -> errors.InvalidInputError:
    """Say which fields are wrong, and why; never their values."""
    found = [
        {"field": ".".join(map(str, item["loc"])) or "body", "message": item["msg"]}
        for item in error.errors(include_url=False, include_input=False, include_context=False)[:20]
    ]
    return errors.InvalidInputError("; ".join(f"{item['field']}: {item['message']}" for item in found), errors=found)
