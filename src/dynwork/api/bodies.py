"""Bodies as they arrive: bounded in bytes and in time, and never kept here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from fastapi import Request
from starlette.requests import ClientDisconnect

from dynwork import errors

BODY_S_MAX = 300.0
"""Longest that a body may take to arrive, seconds."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is accepted: bytes in a body, iterations of a job."""

    body_bytes_max: int
    iterations_max: int


async def receive(request: Request, bytes_max: int, take: Callable[[bytes], None]) -> int:
    """Hand the body to ``take`` piece by piece; return its length in bytes.

    Raises ``BodyTooLargeError`` as soon as that is known, ``ClientGoneError`` if it breaks off or takes too long, and
    whatever ``take`` raises.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > bytes_max:
        raise _too_large(bytes_max)
    size = 0
    try:
        async with asyncio.timeout(BODY_S_MAX), aclosing(request.stream()) as pieces:
            async for piece in pieces:
                size += len(piece)
                if size > bytes_max:
                    raise _too_large(bytes_max)
                take(piece)
    except ClientDisconnect:
        raise errors.ClientGoneError(f"the connection closed after {size} bytes; nothing was submitted") from None
    except TimeoutError:
        raise errors.ClientGoneError(
            f"the body was not complete after {BODY_S_MAX:.0f} s ({size} bytes came); nothing was submitted"
        ) from None
    return size


def _too_large(bytes_max: int) -> errors.BodyTooLargeError:
    return errors.BodyTooLargeError(f"a body has at most {bytes_max} bytes; nothing was submitted")
