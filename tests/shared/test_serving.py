"""How a role serves and stops: with a real uvicorn and real connections."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import signal
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI, Request

from dynwork.errors import ConfigurationError
from dynwork.serving import Stop, bind, disconnected, serve, url_of
from dynwork.testing.clock import FakeClock

REQUEST = b"GET %s HTTP/1.1\r\nHost: role\r\n\r\n"
PATIENCE_S = 20.0
"""Longest that a test waits for what must come, seconds."""


class Role:
    """An app with a parked long-poll, as an orchestrator has one."""

    def __init__(self) -> None:
        self.stop = Stop()
        self.parked = asyncio.Event()
        self.client_gone = asyncio.Event()
        self.app = FastAPI()
        self.app.get("/parked")(self.park)
        self.app.get("/watched")(self.watch)
        self.app.get("/stuck")(self.stick)
        self.listener = bind("127.0.0.1", 0)
        self.address = self.listener.getsockname()

    async def park(self) -> str:
        self.parked.set()
        await self.stop.wait()
        return "nothing came"

    async def watch(self, request: Request) -> None:
        self.parked.set()
        await disconnected(request)
        self.client_gone.set()

    async def stick(self) -> None:
        self.parked.set()
        await asyncio.Event().wait()

    async def serve(self, *background: Callable[[], Awaitable[None]]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await serve(self.app, self.listener, self.stop, background)  # type: ignore[arg-type] # async functions

    @asynccontextmanager
    async def asked(self, path: bytes) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(*self.address)
        try:
            writer.write(REQUEST % path)
            await self.parked.wait()
            yield reader, writer
        finally:
            writer.close()


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_a_stop_answers_parked_requests_and_then_the_role_ends() -> None:
    role = Role()
    events: list[str] = []

    async def heart() -> None:
        try:
            await for_ever()
        finally:
            events.append("the heart stops")

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(role.serve(heart))
        async with role.asked(b"/parked") as (reader, _):
            role.stop.set()
            answer = await reader.read()
            events.append("the parked request is answered")
            assert answer.startswith(b"HTTP/1.1 200")
            assert b"nothing came" in answer
    assert events == ["the parked request is answered", "the heart stops"]


async def test_a_stop_ends_idle_connections_at_once() -> None:
    role = Role()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(role.serve())
        reader, writer = await asyncio.open_connection(*role.address)
        writer.write(REQUEST % b"/nowhere")
        await reader.readuntil(b"\r\n\r\n")
        role.stop.set()
    assert not (await reader.read()).startswith(b"HTTP")
    writer.close()


async def test_a_background_task_that_dies_takes_the_server_with_it() -> None:
    role = Role()

    async def dying() -> None:
        await role.parked.wait()
        raise ZeroDivisionError("the heart")

    async with asyncio.TaskGroup() as tasks:
        served = tasks.create_task(failing(role.serve(dying, for_ever)))
        async with role.asked(b"/stuck") as (reader, _):
            with pytest.raises(ZeroDivisionError, match="the heart"):
                raise await served
            assert await dropped(reader)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*role.address)


async def test_a_background_task_that_merely_ends_does_so_too() -> None:
    role = Role()

    async def ending() -> None:
        await role.parked.wait()

    async with asyncio.TaskGroup() as tasks:
        served = tasks.create_task(failing(role.serve(ending)))
        async with role.asked(b"/stuck"):
            with pytest.raises(RuntimeError, match="ending"):
                raise await served


async def test_a_background_task_may_end_by_itself_after_a_stop() -> None:
    role = Role()

    async def until_stopped() -> None:
        await role.stop.wait()

    role.stop.set()
    await role.serve(until_stopped)


async def test_cancelling_the_role_drops_everything() -> None:
    role = Role()
    async with asyncio.TaskGroup() as tasks:
        served = tasks.create_task(role.serve(for_ever))
        async with role.asked(b"/stuck") as (reader, _):
            served.cancel()
            assert await dropped(reader)
    assert served.cancelled()


async def test_a_handler_learns_that_its_client_is_gone() -> None:
    role = Role()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(role.serve())
        async with role.asked(b"/watched"):
            assert not role.client_gone.is_set()
        async with asyncio.timeout(PATIENCE_S):
            await role.client_gone.wait()
        role.stop.set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_is_a_stop(number: signal.Signals) -> None:
    """Also when the tests themselves run under ``nohup``."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    stop = Stop()
    stop.listen()
    try:
        os.kill(os.getpid(), number)
        async with asyncio.timeout(PATIENCE_S):
            await stop.wait()
    finally:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().remove_signal_handler(each)
        signal.signal(signal.SIGHUP, before)


async def test_under_nohup_a_closed_terminal_is_no_stop() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        Stop().listen()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        for each in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(each)
        signal.signal(signal.SIGHUP, before)


async def test_the_end_of_the_supervisor_is_a_stop_and_a_word_of_it_is_not() -> None:
    stop = Stop()
    ours, theirs = os.pipe()
    os.set_inheritable(ours, True)
    stop.listen(ours)
    try:
        assert not os.get_inheritable(ours)  # what this role starts must not keep it
        os.write(theirs, b"still here")
        await FakeClock().settle()
        assert not readable(ours)  # it was heard
        assert not stop.is_set()
        os.close(theirs)
        async with asyncio.timeout(PATIENCE_S):
            await stop.wait()
    finally:
        os.close(ours)


async def test_a_pipe_that_is_none_is_refused_in_one_sentence() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    os.close(theirs)
    with pytest.raises(ConfigurationError, match=f"DYNWORK_PARENT_FD={ours} is not a pipe"):
        Stop().listen(ours)


def test_a_port_that_is_taken_is_refused_in_one_sentence() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(ConfigurationError) as raised:
            bind("127.0.0.1", port)
    assert f"127.0.0.1:{port}" in raised.value.detail
    assert os.strerror(errno.EADDRINUSE) in raised.value.detail
    assert "\n" not in raised.value.detail


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot listen"):
        bind(host, 0)


@pytest.mark.parametrize(
    ("host", "family", "url"),
    [
        ("127.0.0.1", socket.AF_INET, "http://127.0.0.1:"),
        ("0.0.0.0", socket.AF_INET, "http://127.0.0.1:"),
        ("localhost", socket.AF_INET, "http://127.0.0.1:"),
        ("::1", socket.AF_INET6, "http://[::1]:"),
    ],
)
def test_the_url_of_a_listener_is_how_this_machine_reaches_it(host: str, family: int, url: str) -> None:
    with bind(host, 0) as listener:
        assert listener.family == family
        assert url_of(listener) == f"{url}{listener.getsockname()[1]}"
        assert not listener.get_inheritable()


async def failing(role: Awaitable[None]) -> Exception:
    """Return the one error that ``role`` ends with."""
    try:
        await role
    except ExceptionGroup as group:
        (error,) = group.exceptions
        return error
    raise AssertionError("it ended well")


async def dropped(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


def readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])
