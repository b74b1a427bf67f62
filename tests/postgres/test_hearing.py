"""Announcements reach the other orchestrators, and those that were lost are made up for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg

from dynwork.orchestrator.store.postgres import PostgresStore
from dynwork.orchestrator.store.postgres.hearing import Hearing
from dynwork.orchestrator.store.values import News
from dynwork.testing.postgres import Databases, Opened


class Ear:
    """Listens at a store, and waits for what it hears."""

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self.heard: asyncio.Queue[News] = asyncio.Queue()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """When this begins, the store listens: it says so by one hint of each kind."""
        task = asyncio.ensure_future(self._store.listen(self.heard.put_nowait))
        try:
            assert await self.everything() == set(News)
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def everything(self) -> set[News]:
        return {await self.heard.get() for _ in News}


async def test_others_hear_an_announcement_and_its_maker_does_not(opened: Opened) -> None:
    speaker, other = Ear(await opened()), Ear(await opened())
    async with speaker.listening(), other.listening():
        await speaker._store.announce(News.CLAIMABLE)
        await speaker._store.announce(News.ENDED)
        assert [await other.heard.get(), await other.heard.get()] == [News.CLAIMABLE, News.ENDED]
        await other._store.announce(News.ENDED)
        assert await speaker.heard.get() is News.ENDED
        assert speaker.heard.empty()
        assert other.heard.empty()


async def test_who_was_cut_off_listens_again_and_looks_at_once(opened: Opened, url: str, databases: Databases) -> None:
    speaker, other = Ear(await opened()), Ear(await opened())
    async with speaker.listening(), other.listening():
        await databases.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'ClientRead'"
            " AND datname = current_database() AND pid <> pg_backend_pid()",
            url,
        )
        assert await speaker.everything() == await other.everything() == set(News)
        await speaker._store.announce(News.ENDED)
        assert await other.heard.get() is News.ENDED


async def test_who_does_not_listen_announces_nothing_and_needs_no_answer(opened: Opened) -> None:
    store = await opened()
    await store.announce(News.CLAIMABLE)


class JustEnded:
    """A connection whose server has ended it; the driver has read the farewell, and not yet that nothing follows."""

    def add_termination_listener(self, _listener: object) -> None: ...

    async def add_listener(self, *_: object) -> None: ...

    async def execute(self, *_: object, timeout: float) -> None:
        raise asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress")

    def terminate(self) -> None: ...


async def test_who_announces_in_the_moment_in_which_the_server_ends_the_connection_lives_on() -> None:
    connected = asyncio.Event()

    async def connect() -> JustEnded:
        connected.set()
        return JustEnded()

    hearing = Hearing(connect, "us")
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(hearing.listen(lambda _news: None))
        await connected.wait()
        await asyncio.sleep(0)
        assert hearing._connection is not None
        await hearing.announce(News.ENDED)
        listening.cancel()
