"""A wire between two local processes that a test may cut, silence and restore, and that can lose an answer.

    with TcpProxy(upstream_port) as wire:       # callers use wire.port
        wire.cut(); wire.restore()
        wire.lose_reply("/internal/submit")     # the next answer to that request never arrives; it took effect

With a TLS context it encrypts as PostgreSQL does: the server in the wheel was built without.
It runs on an event loop of its own, in a thread, so that tests which wait for real processes can use it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeVar

from dynwork.testing.processes import free_port

CHUNK_BYTES = 65536
START_S_MAX = 10.0
SSL_REQUEST = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
"""What a PostgreSQL client sends first if it wants to encrypt (its manual, "SSL Session Encryption")."""

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class _Link:
    """One connection through the proxy, seen from its middle."""

    caller: asyncio.StreamWriter
    upstream: asyncio.StreamWriter
    losing: bool = field(default=False)
    """The answer under way must not arrive."""

    def abort(self) -> None:
        for writer in (self.caller, self.upstream):
            writer.transport.abort()


class TcpProxy:
    """Forwards ``host:port`` to ``127.0.0.1:upstream_port``. Use as a context manager."""

    def __init__(
        self,
        upstream_port: int,
        postgres_tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int | None = None,
    ) -> None:
        """``postgres_tls``: callers are PostgreSQL clients that must encrypt, and find this certificate.

        Without ``port`` it is any free one.
        """
        self._host = host
        self.port = port or free_port()
        self._tls = postgres_tls
        self.lost = 0
        """How many answers were lost on purpose."""
        self._upstream_port = upstream_port
        self._links: set[_Link] = set()
        self._to_lose: list[bytes] = []
        self._whole = True
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name=f"proxy-{self.port}")
        self._started = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(START_S_MAX), f"the proxy on port {self.port} did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def url(self) -> str:
        """The proxy as an HTTP server."""
        return f"http://{self._host}:{self.port}"

    def cut(self) -> None:
        """Reset every connection, and every new one until :meth:`restore`."""
        self._on_loop(self._cut)

    def silence(self) -> None:
        """Let nothing through in either direction until :meth:`restore`; connections stay open, new ones too."""
        self._on_loop(lambda: self._flowing.clear())

    def restore(self) -> None:
        """Let through what comes, and what was held back by :meth:`silence`."""
        self._on_loop(self._restore)

    def lose_reply(self, path: str) -> None:
        """Reset the next connection on which ``path`` is requested, when its answer begins to arrive."""
        self._on_loop(lambda: self._to_lose.append(b" %s HTTP/1.1\r\n" % path.encode()))

    def _on_loop(self, act: Callable[[], T]) -> T:
        done: Future[T] = Future()

        def run() -> None:
            done.set_result(act())

        self._loop.call_soon_threadsafe(run)
        return done.result(START_S_MAX)

    def _cut(self) -> None:
        self._whole = False
        for link in self._links:
            link.abort()

    def _restore(self) -> None:
        self._whole = True
        self._flowing.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop, self._flowing = asyncio.Event(), asyncio.Event()
        self._flowing.set()
        server = await asyncio.start_server(self._connected, self._host, self.port)
        self._started.set()
        await self._stop.wait()
        server.close()
        self._flowing.set()
        self._cut()
        await server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        try:
            if self._tls:
                await _encrypt(reader, writer, self._tls)
            answers, upstream = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        except (OSError, EOFError):
            writer.transport.abort()
            return
        link = _Link(writer, upstream)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, upstream, lambda data: self._ask(link, data)))
                tasks.create_task(self._pump(answers, writer, lambda data: self._answer(link, data)))
        finally:
            self._links.discard(link)
            link.abort()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, pass_on: Callable[[bytes], bool]
    ) -> None:
        """Move bytes until the source ends, then end the sink."""
        with contextlib.suppress(ConnectionError):
            while data := await source.read(CHUNK_BYTES):
                await self._flowing.wait()
                if not pass_on(data):
                    break
                sink.write(data)
                await sink.drain()
        sink.close()

    def _ask(self, link: _Link, data: bytes) -> bool:
        head = data.partition(b"\n")[0] + b"\n"
        for path in self._to_lose:
            if head.endswith(path):
                self._to_lose.remove(path)
                link.losing = True
                break
        return True

    def _answer(self, link: _Link, data: bytes) -> bool:
        if link.losing:
            self.lost += 1
            link.abort()
        return not link.losing


async def _encrypt(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: ssl.SSLContext) -> None:
    if await reader.readexactly(len(SSL_REQUEST)) != SSL_REQUEST:
        raise ConnectionRefusedError("the caller does not encrypt")
    writer.write(b"S")
    await writer.drain()
    await writer.start_tls(tls)
