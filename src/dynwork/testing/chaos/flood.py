"""As many submissions as a cluster takes: lean connections, each with one request under way, in a thread of their own.

A client library spends more of a core on a request than the cluster does; these write HTTP/1.1 by hand. Every order has
its idempotency key and is repeated until it is acknowledged, like those of :class:`~dynwork.testing.orders.Stream`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from dynwork.testing.ledger import Ledger
from dynwork.testing.orders import Order

ANSWER_S = 30.0
TRIES_MAX = 100
"""Attempts for one order; each failed one ends its connection."""


class Flood:
    """Use as ``with Flood(api_urls) as flood``; leaving it waits until everything that was begun is acknowledged."""

    def __init__(self, api_urls: Sequence[str], connections: int = 48) -> None:
        """``connections``: to all APIs together, in turns."""
        self._ports = [urlsplit(url).port or 0 for url in api_urls]
        self._connections = connections
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._thread = ThreadPoolExecutor(1, "flood")
        self._running: Future[None] | None = None
        self.acknowledged: dict[str, Order] = {}

    def __enter__(self) -> Self:
        self._running = self._thread.submit(asyncio.run, self._all())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.shutdown(wait=True)
        if error is None and self._running is not None:
            self._running.result()

    def note(self, ledger: Ledger) -> None:
        """Note everything that was acknowledged."""
        for job_id, order in self.acknowledged.items():
            order.note(ledger, job_id)

    async def _all(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for index in range(self._connections):
                tasks.create_task(self._one(self._ports[index % len(self._ports)]))

    async def _one(self, port: int) -> None:
        line = _Line(port)
        while not self._stop.is_set():
            number = next(self._numbers)
            order = Order(b"flood %d" % number, 1 + number % 10 * 20)
            job_id = await line.insist(order)
            assert job_id not in self.acknowledged, f"two orders were given the id {job_id}"
            self.acknowledged[job_id] = order
        line.close()


class _Line:
    """One connection, made anew after whatever went wrong on it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def insist(self, order: Order) -> str:
        """Submit ``order`` until it is acknowledged; return its id."""
        why = "?"
        for _ in range(TRIES_MAX):
            try:
                async with asyncio.timeout(ANSWER_S):
                    status, body = await self._attempt(order)
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                why = type(error).__name__
            else:
                if status == 202:
                    return str(json.loads(body)["job_id"])
                why = f"{status} {body!r}"
            self.close()
        raise AssertionError(f"{order.key} was not acknowledged: {why}")

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _attempt(self, order: Order) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        head = [
            f"PUT /enqueue?iterations={order.iterations} HTTP/1.1",
            "Host: 127.0.0.1",
            f"Idempotency-Key: {order.key}",
            f"Content-Length: {len(order.buffer)}",
        ]
        writer.write("\r\n".join([*head, "", ""]).encode() + order.buffer)
        await writer.drain()
        answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        length = next(int(line.partition(":")[2]) for line in answer if line.startswith("content-length"))
        return int(answer[0].split()[1]), await reader.readexactly(length)
