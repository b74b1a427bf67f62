"""Bodies as they arrive: bounded in bytes and in patience, and never kept here.

How long a body takes is its client's business while nothing of it is kept: it must not stand still, that is all. Once a
second one look (:meth:`Bodies.run`) goes over all that are arriving.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Generator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass

from fastapi import Request
from starlette.requests import ClientDisconnect

from dynwork import errors
from dynwork.clock import Clock

LOOK_S = 1.0
"""How often is looked while bodies arrive, seconds: by so much may a limit of time be passed."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is accepted: bytes in a body, iterations of a job."""

    body_bytes_max: int
    iterations_max: int


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited for a body, seconds: without a byte of it, and in all."""

    still_s_max: float
    whole_s_max: float = math.inf

    def spent(self, still_s: float, whole_s: float) -> str | None:
        """Say which limit was passed, ``None`` if none was."""
        if still_s >= self.still_s_max:
            return f"no byte of the body came for {self.still_s_max:.0f} s"
        if whole_s >= self.whole_s_max:
            return f"the body was not complete after {self.whole_s_max:.0f} s"
        return None


@dataclass(eq=False, slots=True)
class _Arriving:
    patience: Patience
    limit: asyncio.Timeout
    began: float
    latest: float
    refused: str = ""


class Bodies:
    """Receives bodies, and looks after those that are arriving (:meth:`run`)."""

    def __init__(self, bounds: Bounds, clock: Clock) -> None:
        self.bounds = bounds
        self._clock = clock
        self._arriving: set[_Arriving] = set()
        self._wanted = asyncio.Event()

    async def receive(self, request: Request, take: Callable[[bytes], None], patience: Patience) -> int:
        """Hand the body to ``take`` piece by piece; return its length in bytes.

        Raises ``BodyTooLargeError`` as soon as that is known, ``BodyTooSlowError``, ``ClientGoneError`` if it breaks
        off, and whatever ``take`` raises.
        """
        bytes_max = self.bounds.body_bytes_max
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > bytes_max:
            raise _too_large(bytes_max)
        size = 0
        with self._watched(patience) as body:
            try:
                async with body.limit, aclosing(request.stream()) as pieces:
                    async for piece in pieces:
                        body.latest = self._clock.monotonic()
                        size += len(piece)
                        if size > bytes_max:
                            raise _too_large(bytes_max)
                        take(piece)
            except ClientDisconnect:
                raise errors.ClientGoneError(
                    f"the connection closed after {size} bytes; nothing was submitted"
                ) from None
            except TimeoutError:
                raise errors.BodyTooSlowError(f"{body.refused} ({size} bytes came); nothing was submitted") from None
        return size

    async def run(self) -> None:
        """Look until cancelled, while anything arrives."""
        while True:
            if not self._arriving:
                self._wanted.clear()
                await self._wanted.wait()
            await self._clock.sleep(LOOK_S)
            now = self._clock.monotonic()
            for body in list(self._arriving):
                refused = body.patience.spent(now - body.latest, now - body.began)
                if refused:
                    self._arriving.remove(body)
                    body.refused = refused
                    body.limit.reschedule(0.0)  # now

    @contextmanager
    def _watched(self, patience: Patience) -> Generator[_Arriving]:
        now = self._clock.monotonic()
        body = _Arriving(patience, asyncio.timeout(None), now, now)
        self._arriving.add(body)
        self._wanted.set()
        try:
            yield body
        finally:
            self._arriving.discard(body)


def _too_large(bytes_max: int) -> errors.BodyTooLargeError:
    return errors.BodyTooLargeError(f"a body has at most {bytes_max} bytes; nothing was submitted")
