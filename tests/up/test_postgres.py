"""A real PostgreSQL server in a folder: made once, started and killed at will, never left behind."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from dynwork.errors import ConfigurationError
from dynwork.testing.waiting import wait_until
from dynwork.up.database import own_server
from dynwork.up.options import UpOptions
from dynwork.up.ports import free_api_port
from dynwork.up.postgres import LocalPostgres, ServerOptions

pytestmark = pytest.mark.system


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalPostgres]:
    server = LocalPostgres(ServerOptions(tmp_path / "postgres", free_api_port()), lambda: "first")
    server.start()
    yield server
    server.stop()


async def run(server: LocalPostgres, *statements: str) -> object:
    connection = await asyncpg.connect(server.url())
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()


async def test_what_was_committed_is_there_after_kill_minus_9(server: LocalPostgres) -> None:
    await run(server, "CREATE TABLE t (i int)", "INSERT INTO t VALUES (1)", "SELECT 1")
    server.kill()
    assert server.pid is None
    server.start()
    assert await run(server, "SELECT count(*) FROM t") == 1


async def test_it_asks_for_the_password_that_was_made_with_the_folder(server: LocalPostgres) -> None:
    again = LocalPostgres(server.options, lambda: "second")
    assert again.url() == server.url()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(server.url(), password="second")


async def test_a_port_that_another_has_is_said_before_anything_is_started(tmp_path: Path) -> None:
    options = UpOptions(tmp_path, api_port=free_api_port(), store="postgres")
    with socket.socket() as another:
        another.bind(("127.0.0.1", options.postgres_port))
        another.listen()
        with pytest.raises(ConfigurationError, match=f"port {options.postgres_port}"):
            await own_server(options, lambda: "secret")
    assert await own_server(options, lambda: "secret") is not None


def test_one_that_an_earlier_start_left_over_is_ended_by_the_next(server: LocalPostgres) -> None:
    leftover = server.pid
    successor = LocalPostgres(server.options, lambda: "")
    successor.start()
    assert successor.pid not in (None, leftover)
    successor.stop()
    assert successor.pid is None


def test_it_ends_with_the_process_that_started_it_even_if_that_is_killed(tmp_path: Path) -> None:
    script = f"""
import os
from pathlib import Path
from dynwork.up.postgres import LocalPostgres, ServerOptions
LocalPostgres(ServerOptions(Path({str(tmp_path / "postgres")!r}), {free_api_port()}), lambda: "first").start()
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    server = LocalPostgres(ServerOptions(tmp_path / "postgres", free_api_port()), lambda: "")
    wait_until(lambda: server.pid is None, "the server ended")
