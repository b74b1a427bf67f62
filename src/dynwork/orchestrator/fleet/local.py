"""Workers as processes of this machine: the whole autoscaler works on a laptop.

Every worker is a session of its own and outlives the orchestrator, which finds it again by its pid file
(:mod:`.pidfiles`), and so does another one on the same data directory that leads next. Workers know all orchestrators.
Their death is noticed at once where the kernel has pid descriptors (they work for processes that are not our children,
too), elsewhere at the next look. An end is asked for with SIGTERM, so that it hands its work back, and insisted on with
SIGKILL ``KILL_AFTER_S`` later. Secrets travel in the environment, never on the command line.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import SecretStr

from dynwork import logs
from dynwork.clock import Clock
from dynwork.errors import FleetCapacityError, FleetDeniedError, FleetTemplateError, FleetUnclearError
from dynwork.orchestrator.fleet.logfiles import LogFiles
from dynwork.orchestrator.fleet.pidfiles import MARKER, PidFile, PidFiles
from dynwork.orchestrator.fleet.places import Places
from dynwork.orchestrator.fleet.provider import Exit, Machine
from dynwork.settings import child_environment

log = logs.get("dynwork.fleet.local")

KILL_AFTER_S = 6.0
"""A worker hands its work back within 5 s of SIGTERM; one that is still there after this is killed, seconds."""
HERE = "here"
FULL_S = 5.0
"""How long nothing is started after this machine had no room for one more process, seconds."""
EXITS_MAX = 1000
"""Hints that wait to be heard; beyond, they are dropped: the next look shows the same."""
NOT_FOR_WORKERS = ("DYNWORK_PARENT_FD", "DYNWORK_API_TOKEN", "DYNWORK_API_KEYS", "DYNWORK_API_KEY", "DYNWORK_STORE_URL")


@dataclass(frozen=True, slots=True)
class LocalSetup:
    """What local workers are started with. ``slots`` and ``orphan_s`` unset: by the worker's own defaults."""

    data_dir: Path
    orchestrator_urls: Sequence[str]
    slots: int | None = None
    token: SecretStr | None = None
    orphan_s: float | None = None

    @property
    def pid_dir(self) -> Path:
        """Where the pid files are."""
        return self.data_dir / "workers"

    def environment(self, instance_id: str) -> dict[str, str]:
        """Return the environment of the worker called ``instance_id``."""
        variables = {
            MARKER: instance_id,
            "DYNWORK_WORKER_ID": instance_id,
            "DYNWORK_WORKER_PORT": "0",
            "DYNWORK_ORCHESTRATOR_URLS": ",".join(self.orchestrator_urls),
        }
        if self.slots is not None:
            variables["DYNWORK_WORKER_SLOTS"] = str(self.slots)
        if self.orphan_s is not None:
            variables["DYNWORK_WORKER_ORPHAN_S"] = str(self.orphan_s)
        if self.token is not None:
            variables["DYNWORK_WORKER_TOKEN"] = self.token.get_secret_value()
        environment = child_environment(**variables)
        return {name: value for name, value in environment.items() if name not in NOT_FOR_WORKERS}


@contextlib.contextmanager
def _unclear_without_files() -> Iterator[None]:
    """Make a disk that is full or broken a ``FleetUnclearError``: what was done before it failed is not undone."""
    try:
        yield
    except OSError as error:
        raise FleetUnclearError(f"the files of the workers cannot be used: {error.strerror}") from error


class LocalProvider:
    """A :class:`~dynwork.orchestrator.fleet.provider.Provider` of subprocesses, for one event loop.

    The provider's name of a machine is our own id of it.
    """

    def __init__(self, setup: LocalSetup, clock: Clock, command: Sequence[str] | None = None) -> None:
        """``command``: what to run as a worker; it is told everything by its environment."""
        self._setup = setup
        self._clock = clock
        self._command = list(command or (sys.executable, "-m", "dynwork.worker"))
        self._places = Places((HERE,), clock, FULL_S)
        self._files = PidFiles(setup.pid_dir)
        self._files.make()
        self._logs = LogFiles(setup.data_dir / "logs")
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._pidfds: dict[str, int] = {}
        self._told_at: dict[str, float] = {}
        self._exits: asyncio.Queue[Exit] = asyncio.Queue(EXITS_MAX)

    def place(self) -> str:
        """See :meth:`Provider.place`."""
        return self._places.best()

    async def launch(self, instance_id: str, placement: str) -> str:
        """See :meth:`Provider.launch`."""
        try:
            return self._launch(instance_id)
        except FleetCapacityError:
            self._places.refused([placement])
            raise

    def _launch(self, instance_id: str) -> str:
        with _unclear_without_files():
            file = self._files.read(instance_id)
            if file is not None and self._files.exists(file):
                self._watch(file)
                return instance_id
            with self._files.launching() as open_:
                if not open_:
                    raise FleetDeniedError("the supervisor is stopping the workers of this data directory")
                with self._files.claimed(instance_id) as lock_fd:
                    if lock_fd is None:
                        raise FleetUnclearError(f"another process is starting {instance_id} just now")
                    self._start(instance_id, lock_fd)
            return instance_id

    async def terminate(self, machine: Machine) -> None:
        """See :meth:`Provider.terminate`."""
        instance_id = machine.instance_id
        with _unclear_without_files():
            file = self._files.read(instance_id)
            process = self._files.process(file) if file is not None else None
            if file is None or process is None:
                return
            self._watch(file)
            now = self._clock.monotonic()
            told_at = self._told_at.setdefault(instance_id, now)
            with contextlib.suppress(psutil.NoSuchProcess):
                if told_at == now:
                    process.terminate()
                elif now - told_at >= KILL_AFTER_S:
                    log.warning("worker_killed", instance_id=instance_id, pid=process.pid)
                    process.kill()

    async def machines(self) -> Sequence[Machine]:
        """See :meth:`Provider.machines`."""
        with _unclear_without_files():
            found = []
            for file in self._files.read_all():
                if not self._files.exists(file):
                    self._over(file.instance_id)
                    continue
                self._watch(file)
                self._logs.bound(_log_name(file.instance_id))
                found.append(Machine(file.instance_id, file.instance_id))
            return found

    async def next_exit(self) -> Exit:
        """See :meth:`Provider.next_exit`."""
        return await self._exits.get()

    async def close(self) -> None:
        """See :meth:`Provider.close`."""
        for instance_id in list(self._pidfds):
            self._unwatch(instance_id)
        for child in self._children.values():
            child.poll()

    def _start(self, instance_id: str, lock_fd: int) -> None:
        self._files.write(PidFile(instance_id))
        try:
            with self._logs.opened(_log_name(instance_id)) as output:
                child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                    self._command,
                    env=self._setup.environment(instance_id),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(lock_fd,),
                    start_new_session=True,
                )
        except OSError as error:
            self._files.remove(instance_id)
            if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
                raise FleetCapacityError(f"no process could be started: {error.strerror}") from error
            raise FleetTemplateError(f"{self._command[0]} could not be started: {error.strerror}") from error
        self._children[instance_id] = child
        file = PidFile(instance_id, child.pid, psutil.Process(child.pid).create_time())
        self._files.write(file)
        self._logs.prune("worker-", keep={_log_name(file.instance_id) for file in self._files.read_all()})
        self._watch(file)

    def _watch(self, file: PidFile) -> None:
        """See to it that the end of the worker is noticed, and its pid written down, as soon as it can be seen."""
        file = self._files.resolve(file)
        if file.pid is None or file.instance_id in self._pidfds or not hasattr(os, "pidfd_open"):
            return
        try:
            pidfd = os.pidfd_open(file.pid)
        except OSError:  # gone already, or a kernel without pid descriptors: the next look shows which
            return
        self._pidfds[file.instance_id] = pidfd
        asyncio.get_running_loop().add_reader(pidfd, self._over, file.instance_id)

    def _over(self, instance_id: str) -> None:
        """The worker is no more: reap it, forget it and say so."""
        self._unwatch(instance_id)
        self._files.forget(instance_id)
        self._told_at.pop(instance_id, None)
        child = self._children.pop(instance_id, None)
        code = child.poll() if child is not None else None
        try:
            self._exits.put_nowait(Exit(instance_id, _reason(code)))
        except asyncio.QueueFull:
            log.warning("exit_hint_dropped", instance_id=instance_id)

    def _unwatch(self, instance_id: str) -> None:
        pidfd = self._pidfds.pop(instance_id, None)
        if pidfd is not None:
            asyncio.get_running_loop().remove_reader(pidfd)
            os.close(pidfd)


def _log_name(instance_id: str) -> str:
    return f"worker-{instance_id}.log"


def _reason(code: int | None) -> str:
    if code is None:
        return "ended"
    return f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
