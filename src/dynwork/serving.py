"""How a role serves HTTP and how it stops.

uvicorn's own ``run()`` exits with 143 on SIGTERM and waits for parked long-polls before it tells anyone. Here the
server is one task among the role's own, in one TaskGroup, and :class:`Stop` is what everything that waits for long
watches: on a signal parked requests are answered first, then the server closes, then the background tasks are
cancelled. Exit code 0. A background task that dies, or merely ends, takes the server with it: a role never answers 200
with its heart stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from typing import Any, TypeVar, cast

import uvicorn
from fastapi import Request

from dynwork.errors import ClientGoneError, ConfigurationError, DynworkError

Background = Callable[[], Coroutine[Any, Any, None]]
"""A part of the role's heart: it runs until it is cancelled, or returns after a stop."""

T = TypeVar("T")

DRAIN_S_MAX = 5.0
"""Longest that requests in flight may take to end after a stop, seconds."""
KEEP_ALIVE_S = 75
"""An idle connection is closed after so long, seconds: later than a load balancer closes it, which would else send a
request into that moment."""
BACKLOG_MAX = 2048
"""Connections that the kernel holds until they are accepted."""


class Stop(asyncio.Event):
    """Set once, when the role is to end: by a signal, or because its supervisor is gone."""

    def listen(self, parent_fd: int | None = None) -> None:
        """Set this on SIGINT, SIGTERM, SIGHUP (but under ``nohup``), and when the pipe ``parent_fd`` closes.

        Raises ``ConfigurationError`` if there is no such descriptor.
        """
        loop = asyncio.get_running_loop()
        heard = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            heard.append(signal.SIGHUP)  # the terminal was closed
        for number in heard:
            loop.add_signal_handler(number, self.set)
        if parent_fd is None:
            return
        try:
            os.set_inheritable(parent_fd, False)
            loop.add_reader(parent_fd, self._parent_spoke, parent_fd)
        except OSError as error:
            raise ConfigurationError(
                f"DYNWORK_PARENT_FD={parent_fd} is not a pipe of this process ({error.strerror}): leave it unset"
            ) from error

    def _parent_spoke(self, parent_fd: int) -> None:
        if not os.read(parent_fd, 64):  # end of file: the supervisor is gone
            asyncio.get_running_loop().remove_reader(parent_fd)
            self.set()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield  # Stop listens to signals

    def abort(self) -> None:
        """Drop everything at once: nobody is there any more to serve it."""
        for server in getattr(self, "servers", ()):  # set once uvicorn has started
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises ``ConfigurationError`` if the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG_MAX)  # two may bind one port with SO_REUSEADDR; only one may listen
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {host}:{port}: {error.strerror}. Choose another port, or end what uses it"
        ) from error
    listener.set_inheritable(False)
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the http URL under which ``listener`` is reached on this machine."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(
    app: Callable[..., Awaitable[None]],
    listener: socket.socket,
    stop: Stop,
    background: Sequence[Background] = (),
) -> None:
    """Serve ``app`` until ``stop``, ``background`` tasks beside it; requests in flight are answered before those end.

    Raises what a background task raises (in an ``ExceptionGroup``), and ``RuntimeError`` if one ends before ``stop``.
    """
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(DRAIN_S_MAX),
        timeout_keep_alive=KEEP_ALIVE_S,
        backlog=BACKLOG_MAX,
        ws="none",
    )
    server = _Server(config)
    try:
        async with asyncio.TaskGroup() as tasks:
            helpers = [tasks.create_task(_beat(job, stop)) for job in background]
            closing = tasks.create_task(_close_on(stop, server))
            await server.serve(sockets=[listener])
            if not stop.is_set():
                raise RuntimeError("the HTTP server ended by itself")
            for helper in (*helpers, closing):
                helper.cancel()
    finally:
        server.abort()  # after an orderly end there is nothing left to drop
        listener.close()


async def _beat(job: Background, stop: Stop) -> None:
    await job()
    if not stop.is_set():
        raise RuntimeError(f"the background task {getattr(job, '__qualname__', job)!r} ended by itself")


async def _close_on(stop: Stop, server: uvicorn.Server) -> None:
    await stop.wait()
    server.should_exit = True


async def disconnected(request: Request) -> None:
    """Return when the client of ``request`` has closed the connection. The body must have been read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def while_connected(request: Request, working: Coroutine[Any, Any, T]) -> T:
    """Return what ``working`` returns, or raise what it raises; once the client has gone it is cancelled.

    Raises ``ClientGoneError`` then. For what waits long: FastAPI lets a handler run on for nobody.
    """
    async with asyncio.TaskGroup() as tasks:
        answering = tasks.create_task(_outcome(working))
        leaving = tasks.create_task(disconnected(request))
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        answering.cancel()
        leaving.cancel()
    if answering.cancelled():
        raise ClientGoneError("the connection was closed before there was an answer")
    answer, error = answering.result()
    if error is not None:
        raise error
    return cast(T, answer)


async def _outcome(working: Coroutine[Any, Any, T]) -> tuple[T | None, DynworkError | None]:
    """Return a refusal as a value: raised, the task group would wrap it."""
    try:
        return await working, None
    except DynworkError as error:
        return None, error
