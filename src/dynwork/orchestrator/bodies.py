"""Messages in and out of the orchestrator's routes: parsed and written by pydantic itself, once.

FastAPI would validate what it is given and what it returns a second time; with hundreds of jobs in a message that is
most of the time a request takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from fastapi import Request, Response
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from dynwork.errors import BodyTooLargeError, ClientGoneError, InvalidInputError
from dynwork.wire import Reply, Wire

BODY_BYTES_MAX = 64 * 1024**2
"""Longest message, bytes. The longest that makes sense, 20,000 checkpoints of a hash chain, has a tenth of that."""
FIELDS_MAX = 20
"""Faults of one message that are listed at most."""

MessageT = TypeVar("MessageT", bound=Wire)


async def read(request: Request, model: type[MessageT]) -> MessageT:
    """Read the whole body. Raises ``InvalidInputError``, ``BodyTooLargeError``, ``ClientGoneError``."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES_MAX:
                raise BodyTooLargeError(f"a message may have {BODY_BYTES_MAX} bytes")
    except ClientDisconnect:
        raise ClientGoneError("the connection was closed before the message was complete") from None
    try:
        return model.model_validate_json(bytes(body))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)[:FIELDS_MAX]
        fields = [{"field": ".".join(map(str, fault["loc"])), "message": fault["msg"]} for fault in faults]
        detail = "; ".join(f"{field['field']}: {field['message']}" for field in fields[:5])
        raise InvalidInputError(detail, errors=fields) from None


class Replies:
    """Writes replies. The one place where the living orchestrators are put into them."""

    def __init__(self, living: Callable[[], Sequence[str]]) -> None:
        self._living = living

    def of(self, reply: Reply) -> Response:
        """Return the response for ``reply``."""
        told = reply.model_copy(update={"orchestrators": self._living()})
        return Response(told.model_dump_json(), media_type="application/json")
