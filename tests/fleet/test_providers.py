"""The provider contract over the scripted provider and over real local processes; then what only local ones do."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import SecretStr

from dynwork.clock import SystemClock
from dynwork.errors import FleetDeniedError, FleetTemplateError, FleetUnclearError
from dynwork.ids import new_id
from dynwork.orchestrator.fleet.local import KILL_AFTER_S, LocalProvider, LocalSetup
from dynwork.orchestrator.fleet.pidfiles import MARKER, PidFile, PidFiles
from dynwork.orchestrator.fleet.provider import Machine
from dynwork.testing.clock import FakeClock
from dynwork.testing.provider import ScriptedProvider
from dynwork.testing.provider_contract import PATIENCE_S, ProviderContract
from dynwork.testing.waiting import wait_until

SLEEPER = ("sleep", "600")
DEAF = (
    sys.executable,
    "-ISc",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()",
)


def setup(data_dir: Path, **changes: Any) -> LocalSetup:
    return LocalSetup(data_dir, ("http://127.0.0.1:1", "http://127.0.0.1:2"), **changes)


def pid_of(data_dir: Path, instance_id: str) -> int:
    file = PidFiles(data_dir / "workers").read(instance_id)
    assert file is not None
    assert file.pid is not None
    return file.pid


async def ended(provider: LocalProvider, instance_id: str) -> str:
    async with asyncio.timeout(PATIENCE_S):
        while (exited := await provider.next_exit()).instance_id != instance_id:
            pass
    return exited.reason


async def end_all(provider: LocalProvider, data_dir: Path) -> None:
    files = PidFiles(data_dir / "workers")
    for file in files.read_all():
        if process := files.process(file):
            process.kill()
            await provider.machines()
            await ended(provider, file.instance_id)
    await provider.close()


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[LocalProvider]:
    provider = LocalProvider(setup(tmp_path), SystemClock(), SLEEPER)
    yield provider
    await end_all(provider, tmp_path)


class TestScripted(ProviderContract):
    @pytest.fixture
    def provider(self) -> ScriptedProvider:
        return ScriptedProvider()

    async def crash(self, provider: Any, machine: Machine) -> None:
        provider.crash(machine.instance_id)


class TestLocal(ProviderContract):
    @pytest.fixture
    def provider(self, local: LocalProvider, tmp_path: Path) -> LocalProvider:
        self.data_dir = tmp_path
        return local

    async def crash(self, provider: Any, machine: Machine) -> None:
        os.kill(pid_of(self.data_dir, machine.instance_id), signal.SIGKILL)


async def test_a_worker_is_told_everything_by_its_environment_and_nothing_by_its_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DYNWORK_API_TOKEN", "DYNWORK_API_KEYS", "DYNWORK_PARENT_FD", "DYNWORK_STORE_URL"):
        monkeypatch.setenv(name, "not for workers")
    provider = LocalProvider(setup(tmp_path, slots=3, token=SecretStr("s3cret")), SystemClock(), SLEEPER)
    await provider.launch("i-1", "here")
    process = psutil.Process(pid_of(tmp_path, "i-1"))
    try:
        # In the midst of exec the kernel shows a process without environment and arguments.
        environment = await asyncio.to_thread(wait_until, process.environ, "the worker is to be seen")
        told = {name: value for name, value in environment.items() if name.startswith("DYNWORK_")}
        assert told == {
            MARKER: "i-1",
            "DYNWORK_WORKER_ID": "i-1",
            "DYNWORK_WORKER_PORT": "0",
            "DYNWORK_WORKER_SLOTS": "3",
            "DYNWORK_WORKER_TOKEN": "s3cret",
            "DYNWORK_ORCHESTRATOR_URLS": "http://127.0.0.1:1,http://127.0.0.1:2",
        }
        assert process.cmdline() == list(SLEEPER)
        assert os.getsid(process.pid) == process.pid
    finally:
        await end_all(provider, tmp_path)


async def test_the_reason_of_a_death_is_told(local: LocalProvider, tmp_path: Path) -> None:
    await local.launch("i-1", "here")
    os.kill(pid_of(tmp_path, "i-1"), signal.SIGKILL)
    assert await ended(local, "i-1") == "killed by signal 9"


async def test_a_later_provider_finds_living_workers_and_notices_their_death(
    local: LocalProvider, tmp_path: Path
) -> None:
    await local.launch("i-1", "here")
    pid = pid_of(tmp_path, "i-1")
    await local.close()
    later = LocalProvider(setup(tmp_path), SystemClock(), SLEEPER)
    assert [machine.instance_id for machine in await later.machines()] == ["i-1"]
    assert await later.launch("i-1", "here") == "i-1"
    assert pid_of(tmp_path, "i-1") == pid
    os.kill(pid, signal.SIGKILL)
    await ended(later, "i-1")
    await later.close()


async def test_a_starter_killed_before_it_knew_the_pid_leaves_a_worker_that_is_found_and_not_doubled(
    local: LocalProvider, tmp_path: Path
) -> None:
    worker = new_id()  # looked for among all processes of this machine: other runs of these tests must not be met
    await local.launch(worker, "here")
    pid = pid_of(tmp_path, worker)
    PidFiles(tmp_path / "workers").write(PidFile(worker))  # as it is between the start and the second writing
    await local.close()
    later = LocalProvider(setup(tmp_path), SystemClock(), SLEEPER)
    await later.launch(worker, "here")
    assert [machine.instance_id for machine in await later.machines()] == [worker]
    assert pid_of(tmp_path, worker) == pid
    os.kill(pid, signal.SIGKILL)
    await ended(later, worker)
    await later.close()


async def test_a_starter_killed_before_the_start_leaves_nothing_and_the_launch_is_made_anew(
    local: LocalProvider, tmp_path: Path
) -> None:
    PidFiles(tmp_path / "workers").write(PidFile("i-1"))
    await local.launch("i-1", "here")
    assert psutil.pid_exists(pid_of(tmp_path, "i-1"))


async def test_a_worker_not_visible_yet_counts_as_a_machine(local: LocalProvider, tmp_path: Path) -> None:
    files = PidFiles(tmp_path / "workers")
    files.write(PidFile("i-unseen"))
    with files.claimed("i-unseen") as held:  # as by a child between fork and exec: the lock is there, no environment
        assert held is not None
        assert [machine.instance_id for machine in await local.machines()] == ["i-unseen"]
    assert await local.machines() == []


async def test_a_worker_ended_by_another_orchestrator_is_reaped_by_the_one_that_started_it(
    local: LocalProvider, tmp_path: Path
) -> None:
    await local.launch("i-1", "here")
    pid = pid_of(tmp_path, "i-1")
    next_leader = LocalProvider(setup(tmp_path), SystemClock(), SLEEPER)
    assert [machine.instance_id for machine in await next_leader.machines()] == ["i-1"]
    await next_leader.terminate(Machine("i-1", "i-1"))
    await ended(next_leader, "i-1")
    assert await ended(local, "i-1") == "killed by signal 15"
    assert not psutil.pid_exists(pid)
    assert await local.machines() == await next_leader.machines() == []
    await next_leader.close()


async def test_who_is_late_to_see_a_worker_end_does_not_forget_the_one_that_was_started_in_its_place(
    local: LocalProvider, tmp_path: Path
) -> None:
    await local.launch("i-1", "here")
    first = pid_of(tmp_path, "i-1")
    next_leader = LocalProvider(setup(tmp_path), SystemClock(), SLEEPER)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: psutil.Process(first).status() == psutil.STATUS_ZOMBIE, "the worker has ended")  # nobody runs
    await next_leader.launch("i-1", "here")
    second = pid_of(tmp_path, "i-1")
    await ended(local, "i-1")
    assert second != first
    assert pid_of(tmp_path, "i-1") == second
    assert [machine.instance_id for machine in await local.machines()] == ["i-1"]
    os.kill(second, signal.SIGKILL)
    await ended(next_leader, "i-1")
    await next_leader.close()


def test_a_lock_that_is_removed_while_it_is_taken_locks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, flock = PidFiles(tmp_path), fcntl.flock

    def removed_first(fd: int, how: int) -> None:
        files.remove("i-1")
        flock(fd, how)

    monkeypatch.setattr("fcntl.flock", removed_first)
    with files.claimed("i-1") as held:
        assert held is None
    monkeypatch.undo()
    with files.claimed("i-1") as held:
        assert held is not None


async def test_two_starters_of_one_worker_do_not_double_it(local: LocalProvider, tmp_path: Path) -> None:
    with PidFiles(tmp_path / "workers").claimed("i-1"), pytest.raises(FleetUnclearError):
        await local.launch("i-1", "here")
    assert await local.machines() == []


async def test_another_process_under_the_same_pid_is_not_our_worker(local: LocalProvider, tmp_path: Path) -> None:
    stranger = psutil.Process()
    PidFiles(tmp_path / "workers").write(PidFile("i-1", stranger.pid, stranger.create_time() - 3600))
    await local.terminate(Machine("i-1", "i-1"))  # a signal to ourselves, if it were believed
    assert await local.machines() == []


async def test_nothing_is_launched_while_a_supervisor_stops_the_workers(local: LocalProvider, tmp_path: Path) -> None:
    with PidFiles(tmp_path / "workers").launching(alone=True) as alone:
        assert alone
        with pytest.raises(FleetDeniedError):
            await local.launch("i-1", "here")
    await local.launch("i-1", "here")


async def test_a_worker_deaf_to_sigterm_is_killed_when_its_time_is_up(tmp_path: Path) -> None:
    clock = FakeClock()
    provider = LocalProvider(setup(tmp_path), clock, DEAF)
    log_file = tmp_path / "logs" / "worker-i-1.log"
    await provider.launch("i-1", "here")
    await asyncio.to_thread(wait_until, lambda: "deaf" in log_file.read_text(), "the worker is deaf")
    await provider.terminate(Machine("i-1", "i-1"))
    await clock.advance(KILL_AFTER_S - 0.1)
    await provider.terminate(Machine("i-1", "i-1"))
    assert psutil.Process(pid_of(tmp_path, "i-1")).status() != psutil.STATUS_ZOMBIE
    await clock.advance(0.1)
    await provider.terminate(Machine("i-1", "i-1"))
    assert await ended(provider, "i-1") == "killed by signal 9"
    await provider.close()


async def test_a_command_that_is_not_there_is_a_bad_template_and_leaves_nothing(tmp_path: Path) -> None:
    provider = LocalProvider(setup(tmp_path), SystemClock(), ("/nowhere/worker",))
    with pytest.raises(FleetTemplateError):
        await provider.launch("i-1", "here")
    assert await provider.machines() == []
    assert not list((tmp_path / "workers").glob("i-1*"))


async def test_a_disk_that_cannot_be_written_is_unclear_and_the_launch_is_made_when_it_can(
    local: LocalProvider, tmp_path: Path
) -> None:
    in_the_way = tmp_path / "workers" / "i-1.draft"
    in_the_way.mkdir()
    with pytest.raises(FleetUnclearError, match="cannot be used"):
        await local.launch("i-1", "here")
    in_the_way.rmdir()
    await local.launch("i-1", "here")
    assert [machine.instance_id for machine in await local.machines()] == ["i-1"]


async def test_a_pid_file_cut_short_by_a_power_failure_is_no_machine(local: LocalProvider, tmp_path: Path) -> None:
    (tmp_path / "workers" / "i-1.json").write_text("")
    assert await local.machines() == []
    assert await ended(local, "i-1") == "ended"
    await local.launch("i-1", "here")
    assert [machine.instance_id for machine in await local.machines()] == ["i-1"]


def test_a_pid_file_says_who_the_worker_is(tmp_path: Path) -> None:
    files = PidFiles(tmp_path)
    files.write(PidFile("i-1", 12, 34.5))
    assert json.loads((tmp_path / "i-1.json").read_text()) == {"instance_id": "i-1", "pid": 12, "create_time": 34.5}
    assert files.read_all() == [PidFile("i-1", 12, 34.5)]
