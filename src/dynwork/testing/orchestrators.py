"""Orchestrators as an API instance sees them: a transport for httpx that answers the internal routes from memory.

Several addresses share one memory, as several orchestrators share one store. Faults are scripted for each address and
used up in order; ``LOST`` is the nasty one: the request takes effect and its answer never arrives.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import httpx

from dynwork import errors, problems
from dynwork.testing.orchestrator_memory import FakeMemory

Fault = Callable[[httpx.Request, Callable[[], Awaitable[httpx.Response]]], Awaitable[httpx.Response]]
Answer = Callable[[], Awaitable[httpx.Response]]


async def REFUSED(request: httpx.Request, _answer: Answer) -> httpx.Response:  # noqa: N802 - reads like a constant
    """Nobody listens."""
    raise httpx.ConnectError("connection refused", request=request)


async def LOST(request: httpx.Request, answer: Answer) -> httpx.Response:  # noqa: N802
    """The request takes effect, the answer is lost on its way."""
    await answer()
    raise httpx.ReadError("connection reset", request=request)


def replying(status: int, content: bytes = b"", headers: dict[str, str] | None = None) -> Fault:
    """Answer with this, whatever was asked, without effect."""

    async def fault(_request: httpx.Request, _answer: Answer) -> httpx.Response:
        return httpx.Response(status, content=content, headers=headers)

    return fault


def refusing(error: errors.DynworkError) -> Fault:
    """Refuse the whole call with ``error``."""
    response = problems.of_error(error)
    return replying(response.status_code, bytes(response.body), dict(response.headers))


def held(reached: asyncio.Event, released: asyncio.Event) -> Fault:
    """Set ``reached``, and answer once ``released`` is set."""

    async def fault(_request: httpx.Request, answer: Answer) -> httpx.Response:
        reached.set()
        await released.wait()
        return await answer()

    return fault


class FakeOrchestrators(FakeMemory, httpx.AsyncBaseTransport):
    """Orchestrators at any address, over one memory. Jobs do not advance by themselves: :meth:`finish` them."""

    def __init__(self, behind: httpx.AsyncBaseTransport | None = None) -> None:
        """``behind``: who answers instead of the memory, a real orchestrator for instance; faults remain possible."""
        super().__init__()
        self._behind = behind
        self.calls: list[httpx.Request] = []
        self.faults: dict[str, deque[Fault]] = {}
        self.always: dict[str, Fault] = {}
        self.living: list[str] = []

    def fail(self, url: str, *faults: Fault, forever: bool = False) -> None:
        """Let the next calls to ``url`` go as ``faults`` say; ``forever``: and all calls after."""
        self.faults.setdefault(url, deque()).extend(faults)
        if forever:
            self.always[url] = faults[-1]

    def heal(self, url: str) -> None:
        """Let ``url`` answer again."""
        self.faults.pop(url, None)
        self.always.pop(url, None)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer one call. See :class:`httpx.AsyncBaseTransport`."""
        await request.aread()
        self.calls.append(request)
        url = f"{request.url.scheme}://{request.url.netloc.decode()}"

        async def answer() -> httpx.Response:
            if self._behind:
                return await self._behind.handle_async_request(request)
            await self._park(request)
            return self._answer(request)

        planned = self.faults.get(url)
        fault = planned.popleft() if planned else self.always.get(url)
        return await (fault(request, answer) if fault else answer())

    async def _park(self, request: httpx.Request) -> None:
        """Hold a follower of the tail until there is something, however long it wished to wait."""
        params = request.url.params
        if request.url.path == "/internal/tail" and int(params.get("wait_s", 0)):
            while self.retired <= int(params["after"]) == len(self.ended):
                self.something_ended.clear()
                await self.something_ended.wait()

    def _answer(self, request: httpx.Request) -> httpx.Response:
        try:
            reply = self.carry_out(request).model_copy(update={"orchestrators": self.living})
        except errors.DynworkError as error:
            response = problems.of_error(error)
            return httpx.Response(response.status_code, content=bytes(response.body), headers=dict(response.headers))
        return httpx.Response(200, content=reply.model_dump_json())
