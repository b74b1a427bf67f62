"""Announcements between orchestrators: NOTIFY, a hint that something can be claimed, or that something ended.

They travel on a connection of their own and in transactions of their own: one that notifies takes a lock on the whole
server while it commits, and no round should wait for that. Nothing is waited for, either (``synchronous_commit`` is
off here): what is lost is found by the look that everybody takes each second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import stamina

from dynwork import logs
from dynwork.errors import StoreUnavailableError
from dynwork.orchestrator.store.values import News

log = logs.get("dynwork.orchestrator.store")

CHANNELS = {f"dynwork_{news}": news for news in News}
"""Each kind of news has its own: who does not know one does not hear it."""
AGAIN_S = 1.0
"""How long until the next try after the connection was lost, at most, seconds."""
PROBE_S = 5.0
"""How often a connection on which nothing is heard is probed, seconds; a probe may take as long."""
SETTINGS = {"synchronous_commit": "off"}
LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    StoreUnavailableError,
)
"""What a connection that is gone, or cannot be made, raises. The internal error comes of one that the server has just
ended, before the driver has noticed that it is closed."""


class Hearing:
    """The connection for announcements; it is there while :meth:`listen` runs."""

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]], name: str) -> None:
        """``name`` tells this orchestrator's announcements from those of others."""
        self._connect = connect
        self._name = name
        self._connection: asyncpg.Connection | None = None
        self._one_at_a_time = asyncio.Lock()

    async def announce(self, news: News) -> None:
        """Tell the others. While there is no connection, they find out by themselves."""
        if self._connection is None:
            return
        try:
            await self._send(self._connection, "SELECT pg_notify($1, $2)", f"dynwork_{news}", self._name)
        except LOST as error:
            log.info("announcement_lost", error=str(error))

    async def listen(self, heed: Callable[[News], None]) -> None:
        """Call ``heed`` at each announcement of another, and whenever some may have been missed; for ever."""

        def heard(_connection: object, _pid: int, channel: str, name: object) -> None:
            if name != self._name:
                heed(CHANNELS[channel])

        async for attempt in stamina.retry_context(on=LOST, attempts=None, timeout=None, wait_max=AGAIN_S):
            with attempt:
                await self._listen_once(heard, heed)

    async def _listen_once(self, heard: Callable[..., None], heed: Callable[[News], None]) -> None:
        connection = await self._connect()
        closed = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _connection: closed.set())
            for channel in CHANNELS:
                await connection.add_listener(channel, heard)
            self._connection = connection
            for news in News:
                heed(news)
            while not await _happens(closed, PROBE_S):
                await self._send(connection, "SELECT 1")
            raise StoreUnavailableError("the connection for announcements was lost")
        finally:
            self._connection = None
            connection.terminate()

    async def _send(self, connection: asyncpg.Connection, query: str, *arguments: str) -> None:
        async with self._one_at_a_time:
            await connection.execute(query, *arguments, timeout=PROBE_S)


async def _happens(event: asyncio.Event, within_s: float) -> bool:
    """Wait for ``event``, but not longer than that; say whether it happened."""
    try:
        await asyncio.wait_for(event.wait(), within_s)
    except TimeoutError:
        return False
    return True
