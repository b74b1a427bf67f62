"""``PUT /enqueue``: the buffer is hashed while it streams in and is never held; what travels on is the chain's start.

Parameters, kind and key are checked before the first byte of the body is read. The answer comes after an orchestrator
has made the job durable, and names the id that it is durable under.
"""

# No `from __future__ import annotations` here: annotations hold bounds from the settings, made anew for each router.

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from dynwork import errors
from dynwork.api.auth import KeyGuard, owner
from dynwork.api.bodies import Bodies, Patience
from dynwork.api.metrics import Metrics
from dynwork.api.parameters import WHOLE_NUMBER
from dynwork.api.refusals import refusals
from dynwork.api.submissions import Submissions
from dynwork.kinds import DEFAULT_KIND, Kind
from dynwork.rights import Right
from dynwork.wire import Accepted, NewJob

PATIENCE = Patience(still_s_max=60.0)
"""A body is hashed as it comes: one that is slow, but steady, costs nobody anything."""

BODY = {
    "required": True,
    "description": "The buffer, 1 byte or more.",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary", "minLength": 1}}},
}


def router(
    guard: KeyGuard,
    submissions: Submissions,
    bodies: Bodies,
    kind_named: Callable[[str], Kind],
    new_id: Callable[[], str],
    metrics: Metrics,
) -> APIRouter:
    """Return the route. ``kind_named`` raises ``UnknownKindError``."""
    routes = APIRouter(tags=["work"])
    bounds = bodies.bounds

    @routes.put(
        "/enqueue",
        status_code=202,
        response_model=Accepted,
        dependencies=[guard.needs(Right.SUBMIT)],
        summary="Hand in a buffer",
        response_description="The job is durable, under this id.",
        description=(
            "The request body is the buffer. Its hash is computed `iterations` times over: SHA-512 of the buffer, then"
            " SHA-512 of the digest, and so on. The answer comes once the job is safe on disk; from then on it gets"
            " exactly one result, through any crash. Send an `Idempotency-Key` to repeat a request safely: the same"
            " key with the same buffer and parameters is the same job, and gets the same id, for as long as the job is"
            " kept: 7 days after its end, unless set otherwise. Keys of other owners are other keys. The body may come"
            f" slowly, for as long as it takes; without a byte of it for {PATIENCE.still_s_max:.0f} s it is refused."
        ),
        openapi_extra={"requestBody": BODY},
        responses=refusals(
            errors.EmptyBodyError,
            errors.ClientGoneError,
            errors.BodyTooSlowError,
            errors.KeyReusedError,
            errors.BodyTooLargeError,
            errors.InvalidInputError,
            errors.UnknownKindError,
            errors.QueueFullError,
        ),
    )
    async def enqueue(
        request: Request,
        iterations: Annotated[
            int,
            Query(ge=1, le=bounds.iterations_max, description="How often to hash, in all.", examples=[1_000_000]),
            WHOLE_NUMBER,
        ],
        priority: Annotated[int, Query(ge=0, le=9, description="9 goes first."), WHOLE_NUMBER] = 5,
        kind: Annotated[str, Query(min_length=1, max_length=64, description="The kind of work.")] = DEFAULT_KIND,
        idempotency_key: Annotated[
            str | None,
            Header(
                min_length=1,
                max_length=256,
                pattern=r"^[\x20-\x7e]+$",
                description="Names this request among its owner's, for as long as the job is kept.",
                examples=["order-17"],
            ),
        ] = None,
    ) -> Response:
        starter = kind_named(kind).start()
        with submissions.admitted():
            size = await bodies.receive(request, starter.update, PATIENCE)
            if size == 0:
                raise errors.EmptyBodyError("send the buffer as the request's body: 1 byte or more")
            metrics.received.inc(size)
            state, done = starter.finish()
            job = NewJob(
                job_id=new_id(),
                owner=owner(request),
                key=idempotency_key,
                kind=kind,
                state=state,
                done=done,
                total=iterations,
                priority=priority,
            )
            job_id = await submissions.submit(job)
        return Response(Accepted(job_id=job_id).model_dump_json(), 202, media_type="application/json")

    return routes
