"""The keeper of one role, over real but tiny processes in place of the role."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from dynwork.clock import SystemClock
from dynwork.orchestrator.fleet.logfiles import LogFiles
from dynwork.testing.waiting import wait_until
from dynwork.up.database import spec_of
from dynwork.up.keeper import Keeper, Surroundings
from dynwork.up.options import RoleSpec
from dynwork.up.ports import free_api_port
from dynwork.up.postgres import LocalPostgres, ServerOptions

PATIENCE_S = 20.0


class Lines:
    """What the keeper says, to be waited for."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[str] = asyncio.Queue()

    async def next(self) -> str:
        async with asyncio.timeout(PATIENCE_S):
            return await self.said.get()


@pytest.fixture
async def lifeline() -> AsyncIterator[int]:
    reading, writing = os.pipe()
    yield reading
    os.close(reading)
    os.close(writing)


@pytest.fixture
def lines() -> Lines:
    return Lines()


def keeper(tmp_path: Path, lifeline: int, lines: Lines, program: str) -> Keeper:
    """A keeper whose role is ``program``: a module of that name, found before the real one."""
    package = tmp_path / "dynwork"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "actor.py").write_text(program)
    around = Surroundings(SystemClock(), lambda: 0.0, lines.said.put_nowait, LogFiles(tmp_path / "logs"), lifeline)
    spec = RoleSpec("actor", 0, 1, {"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]})
    return Keeper(spec, around)


async def test_a_role_that_dies_is_started_again_ever_more_slowly(tmp_path: Path, lifeline: int, lines: Lines) -> None:
    kept = keeper(tmp_path, lifeline, lines, "raise SystemExit(1)")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(kept.run())
        said = [await lines.next() for _ in range(3)]
        await kept.end(PATIENCE_S)
    assert said == [
        f"actor-0 ended with exit code 1; starting it again in {wait_s} s" for wait_s in ("0.1", "0.2", "0.4")
    ]


async def test_a_role_that_refuses_to_start_is_told_with_its_own_words(
    tmp_path: Path, lifeline: int, lines: Lines
) -> None:
    kept = keeper(tmp_path, lifeline, lines, "import sys; sys.stderr.write('the port is taken\\n'); sys.exit(2)")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(kept.run())
        assert await lines.next() == "actor-0 refused to start: the port is taken"
        assert kept.refused_since is not None
        await kept.end(PATIENCE_S)


async def test_a_role_is_asked_to_end_and_not_started_again(tmp_path: Path, lifeline: int, lines: Lines) -> None:
    kept = keeper(tmp_path, lifeline, lines, _until_sigterm("sys.exit(0)"))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(kept.run())
        await _running(kept)
        await kept.end(PATIENCE_S)
    assert kept.pid is None
    assert lines.said.empty()


async def test_a_role_deaf_to_sigterm_is_killed(tmp_path: Path, lifeline: int, lines: Lines) -> None:
    kept = keeper(tmp_path, lifeline, lines, _until_sigterm("None"))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(kept.run())
        await _running(kept)
        await kept.end(0.05)
    assert kept.pid is None
    assert await lines.next() == "actor-0 did not end within 0 s and is killed"


async def test_a_role_inherits_the_lifeline_and_a_session_of_its_own(
    tmp_path: Path, lifeline: int, lines: Lines
) -> None:
    program = (
        "import os, sys; fd = int(os.environ['DYNWORK_PARENT_FD']); os.fstat(fd)\n"
        "print(fd, os.getsid(0) == os.getpid(), flush=True); sys.exit(3)"
    )
    kept = keeper(tmp_path, lifeline, lines, program)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(kept.run())
        await lines.next()
        assert kept.last_words == f"{lifeline} True"
        await kept.end(PATIENCE_S)


@pytest.mark.system
async def test_a_database_server_is_kept_running_and_ended_although_a_client_is_connected(
    tmp_path: Path, lifeline: int, lines: Lines
) -> None:
    server = LocalPostgres(ServerOptions(tmp_path / "postgres", free_api_port()), lambda: "secret")
    await asyncio.to_thread(server.make)
    around = Surroundings(SystemClock(), lambda: 0.0, lines.said.put_nowait, LogFiles(tmp_path / "logs"), lifeline)
    kept = Keeper(spec_of(server), around)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(kept.run())
        await asyncio.to_thread(wait_until, lambda: server.ready, "it is ready", PATIENCE_S)
        assert kept.pid == server.pid
        os.kill(server.pid or 0, signal.SIGKILL)
        assert "killed by signal 9" in await lines.next()
        await asyncio.to_thread(wait_until, lambda: server.ready, "it is ready again", PATIENCE_S)
        client = await asyncpg.connect(server.url())
        await kept.end(PATIENCE_S)
    assert server.pid is None
    client.terminate()


def _until_sigterm(then: str) -> str:
    return (
        "import signal, sys\n"
        f"signal.signal(signal.SIGTERM, lambda *_: {then})\n"
        "print('running', flush=True)\n"
        "while True: signal.pause()\n"
    )


async def _running(kept: Keeper) -> None:
    await asyncio.to_thread(wait_until, lambda: kept.last_words == "running", "the role runs", PATIENCE_S)
