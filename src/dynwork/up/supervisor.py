"""The supervisor: one data directory, one cluster, from the first start to the ordered end.

Start: the lock of the directory, the cluster's own PostgreSQL server, if it has one, the orchestrators, the APIs, and,
once all of them and the fewest workers answer ``/readyz``, ``cluster.json``, which is kept current from then on. End,
within ``10 s`` in all: the APIs (parked polls are answered), then the workers, which hand their work back, then the
orchestrators, who took it, and PostgreSQL last.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import httpx

from dynwork.clock import Clock, wait_for_event
from dynwork.errors import ConfigurationError
from dynwork.orchestrator.fleet.logfiles import LogFiles
from dynwork.serving import Stop
from dynwork.up import database
from dynwork.up.keeper import Keeper, Surroundings
from dynwork.up.options import RoleSpec, UpOptions, api_specs, orchestrator_specs
from dynwork.up.workers import LocalWorkers

READY_S_MAX = 60.0
"""Everything must be ready within this after the start, seconds."""
REFUSAL_S_MAX = 12.0
"""A role may refuse to start for this long, seconds: what holds its port may be an earlier cluster just ending."""
LOOK_S = 0.25
"""How often readiness and the running processes are looked at, seconds."""
API_END_S, API_HEADSTART_S, WORKER_END_S, ORCHESTRATOR_END_S, POSTGRES_END_S = 6.0, 2.0, 5.0, 2.0, 2.0
"""The longest that each may take to end; workers wait for the APIs no longer than the head start. Seconds."""


class Supervisor:
    """Keeps the cluster of :class:`UpOptions` running."""

    def __init__(
        self,
        options: UpOptions,
        clock: Clock,
        uniform: Callable[[], float],
        new_password: Callable[[], str],
        say: Callable[[str], None],
    ) -> None:
        """``uniform`` draws from [0, 1) and spreads restarts; ``say`` tells the operator one line.

        ``new_password`` draws what guards the cluster's own PostgreSQL server.
        """
        options.check()
        try:
            options.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            (options.data_dir / "up.lock").touch(mode=0o600)
        except OSError as error:
            raise ConfigurationError(f"cannot use {options.data_dir}: {error.strerror}; set --data-dir") from error
        self.ready = asyncio.Event()
        """Set when everything answers for the first time."""
        self._options = options
        self._clock = clock
        self._uniform = uniform
        self._new_password = new_password
        self._say = say
        self._cluster_file = options.data_dir / "cluster.json"
        self._unwritten: int | None = None
        self._workers = LocalWorkers(options.data_dir / "workers", clock)

    @property
    def urls(self) -> list[str]:
        """Where the APIs answer."""
        return [spec.url for spec in api_specs(self._options)]

    async def run(self, stop: Stop) -> None:
        """Start everything and keep it running until ``stop``; then end it in order.

        Raises ``ConfigurationError`` if another supervisor has the directory, or a role cannot be started.
        """
        with _sole(self._options.data_dir / "up.lock"), _lifeline() as lifeline:
            self._cluster_file.unlink(missing_ok=True)
            logs = LogFiles(self._options.data_dir / "logs")
            around = Surroundings(self._clock, self._uniform, self._say, logs, lifeline)
            self._say(f"data, logs and cluster.json are in {self._options.data_dir}")
            server = await database.own_server(self._options, self._new_password)
            options = replace(self._options, store=server.url()) if server else self._options
            databases = [Keeper(database.spec_of(server), around)] if server else []
            orchestrators = [Keeper(spec, around) for spec in orchestrator_specs(options)]
            apis = [Keeper(spec, around) for spec in api_specs(options)]
            if strays := await self._workers.end_strays([keeper.spec.url for keeper in orchestrators], WORKER_END_S):
                self._say(f"ended {strays} of the workers of an earlier start on other ports")
            try:
                async with asyncio.TaskGroup() as tasks:
                    try:
                        await self._start(tasks, databases, stop)
                        await self._start(tasks, [*orchestrators, *apis], stop, self._options.min_workers)
                        await self._watch([*databases, *orchestrators, *apis], stop)
                    finally:
                        await self._end(databases, orchestrators, apis)
            except* ConfigurationError as refusals:
                raise refusals.exceptions[0] from None
            finally:
                self._cluster_file.unlink(missing_ok=True)

    async def _watch(self, keepers: Sequence[Keeper], stop: Stop) -> None:
        shown = None
        while not stop.is_set():
            entries = self._entries(keepers)
            if entries != shown and self._show(entries):
                shown = entries
            if not self.ready.is_set():
                self.ready.set()
                self._say(f"ready: {', '.join(self.urls)} (stop with Ctrl-C)")
            for keeper in keepers:
                keeper.bound_log()
            await wait_for_event(self._clock, stop, LOOK_S)

    def _show(self, entries: list[dict[str, object]]) -> bool:
        """Write ``cluster.json``; say whether that was possible: a full disk must not end what it describes."""
        try:
            _write(self._cluster_file, entries)
        except OSError as error:
            if error.errno != self._unwritten:
                self._say(f"cluster.json could not be written: {error.strerror}; trying again")
            self._unwritten = error.errno
            return False
        self._unwritten = None
        return True

    def _entries(self, keepers: Sequence[Keeper]) -> list[dict[str, object]]:
        roles: list[dict[str, object]] = [
            {"role": keeper.spec.role, "pid": keeper.pid, "url": keeper.spec.url} for keeper in keepers if keeper.pid
        ]
        workers: list[dict[str, object]] = [
            {"role": "worker", "pid": worker.pid, "url": worker.url}
            for worker in self._workers.living()
            if worker.url is not None
        ]
        return roles + workers

    async def _start(self, tasks: asyncio.TaskGroup, keepers: Sequence[Keeper], stop: Stop, workers: int = 0) -> None:
        """Start what is kept, and wait until it is ready, with as many ``workers``, or ``stop``."""
        for keeper in keepers:
            tasks.create_task(keeper.run())
        deadline = self._clock.monotonic() + READY_S_MAX
        async with httpx.AsyncClient(timeout=1.0, trust_env=False) as http:
            waiting = {keeper.spec.name: keeper for keeper in keepers}
            while not stop.is_set() and (missing := await self._missing(http, waiting, workers)):
                now = self._clock.monotonic()
                for keeper in keepers:
                    if keeper.refused_since is not None and now - keeper.refused_since > REFUSAL_S_MAX:
                        raise ConfigurationError(f"{keeper.spec.name} cannot be started: {keeper.last_words}")
                if now > deadline:
                    raise ConfigurationError(f"not ready within {READY_S_MAX:.0f} s: {', '.join(missing)}")
                await wait_for_event(self._clock, stop, LOOK_S)

    async def _missing(self, http: httpx.AsyncClient, waiting: dict[str, Keeper], workers: int) -> list[str]:
        """Return what is not ready yet; roles that are ready are said so and taken out of ``waiting``."""
        for name, keeper in list(waiting.items()):
            if keeper.pid is not None and await _is_ready(http, keeper.spec):
                del waiting[name]
                self._say(f"{name} is ready at {keeper.spec.url}")
        lacking = workers - await self._ready_workers(http) if workers else 0
        return [*waiting, *([f"{lacking} of the workers"] if lacking > 0 else [])]

    async def _ready_workers(self, http: httpx.AsyncClient) -> int:
        urls = [worker.url for worker in self._workers.living() if worker.url is not None]
        return sum([await _answers(http, url) for url in urls])

    async def _end(self, databases: list[Keeper], orchestrators: list[Keeper], apis: list[Keeper]) -> None:
        self._say("stopping: the APIs, then the workers, then the orchestrator")
        async with self._workers.none_starting():
            async with asyncio.TaskGroup() as tasks:
                ending = [tasks.create_task(keeper.end(API_END_S)) for keeper in apis]
                await asyncio.wait(ending, timeout=API_HEADSTART_S)
                await self._workers.end(WORKER_END_S)
            async with asyncio.TaskGroup() as tasks:
                for keeper in orchestrators:
                    tasks.create_task(keeper.end(ORCHESTRATOR_END_S))
            for keeper in databases:
                await keeper.end(POSTGRES_END_S)
        self._say("stopped; the next start carries on from here")


@contextlib.contextmanager
def _sole(path: Path) -> Iterator[None]:
    """Hold the directory's lock. Raises ``ConfigurationError`` if another supervisor does."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, 32).decode() or "?"
            raise ConfigurationError(
                f"another dynwork up (pid {holder}) runs on {path.parent}: end it, or use another --data-dir"
            ) from None
        os.truncate(fd, 0)
        os.write(fd, str(os.getpid()).encode())
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def _lifeline() -> Iterator[int]:
    """Yield the reading end of a pipe whose writing end closes when this process ends, in whatever way."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(writing)
        os.close(reading)


async def _is_ready(http: httpx.AsyncClient, spec: RoleSpec) -> bool:
    return spec.program.is_ready() if spec.program else await _answers(http, spec.url)


async def _answers(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(f"{url}/readyz")).is_success
    except httpx.HTTPError:
        return False


def _write(path: Path, entries: list[dict[str, object]]) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(entries, indent=1) + "\n")
    draft.replace(path)
