"""The PostgreSQL server that belongs to a cluster: the first of its processes to start, the last to end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from dynwork.errors import ConfigurationError
from dynwork.up.options import POSTGRES_PORT_OFFSET, Program, RoleSpec, UpOptions
from dynwork.up.ports import is_free
from dynwork.up.postgres import DATABASE, LocalPostgres, ServerOptions


async def own_server(options: UpOptions, new_password: Callable[[], str]) -> LocalPostgres | None:
    """Return the cluster's own server, made and ready to be started; ``None`` if its store is another.

    Raises ``ConfigurationError`` if it cannot be made, or another listens where it would.
    """
    if not options.with_postgres:
        return None
    server = LocalPostgres(ServerOptions(options.data_dir / "postgres", options.postgres_port), new_password)
    await asyncio.to_thread(server.make)
    await asyncio.to_thread(server.end_leftover)
    if not is_free(options.postgres_port):
        raise ConfigurationError(
            f"port {options.postgres_port}, {POSTGRES_PORT_OFFSET} above --api-port, is taken, and PostgreSQL needs it:"
            " end what listens there, or choose another --api-port"
        )
    return server


def spec_of(server: LocalPostgres) -> RoleSpec:
    """Return what keeps the server running. It is asked to end with SIGINT: SIGTERM waits for every client to go."""
    port = server.options.port
    program = Program(
        command=server.command,
        folder=server.data,
        stop_signal=signal.SIGINT,
        is_ready=lambda: server.ready,
        shown_as=f"postgresql://127.0.0.1:{port}/{DATABASE}",
    )
    return RoleSpec("postgres", 0, port, server.environment(), program)
