"""The local workers as the supervisor sees them: who they are, where their health pages are, and how they are ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from pathlib import Path

import psutil

from dynwork.clock import Clock
from dynwork.orchestrator.fleet.pidfiles import PidFiles

GATE_S = 1.0
"""Longest wait for launches in flight before the workers are ended, seconds."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A living worker. ``url``: its health page, ``None`` until it listens."""

    instance_id: str
    pid: int
    url: str | None


class LocalWorkers:
    """The workers whose pid files are in one directory."""

    def __init__(self, pid_dir: Path, clock: Clock) -> None:
        self._files = PidFiles(pid_dir)
        self._files.make()
        self._clock = clock
        self._urls: dict[int, str] = {}

    def living(self) -> list[Seen]:
        """Return the workers that live, in order of instance id, which is the order in which they were started."""
        seen = []
        for instance_id, process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                seen.append(Seen(instance_id, process.pid, self._url(process)))
        self._urls = {worker.pid: worker.url for worker in seen if worker.url is not None}
        return seen

    @contextlib.asynccontextmanager
    async def none_starting(self) -> AsyncIterator[bool]:
        """Keep orchestrators from starting workers; yields whether launches in flight have ended within ``GATE_S``."""
        deadline = self._clock.monotonic() + GATE_S
        while True:
            with self._files.launching(alone=True) as alone:
                if alone or self._clock.monotonic() >= deadline:
                    yield alone
                    return
            await self._clock.sleep(0.02)

    async def end(self, grace_s: float) -> int:
        """End every worker: ask, wait at most ``grace_s`` seconds, then insist. Returns how many there were."""
        return await self._end(self._processes(), grace_s)

    async def end_strays(self, orchestrator_urls: Collection[str], grace_s: float) -> int:
        """End, as :meth:`end` does, the workers of an earlier cluster that know none of ``orchestrator_urls``.

        They would look for orchestrators where none will ever be again, and count as workers of this cluster.
        """
        strays = [
            (instance_id, process)
            for instance_id, process in self._processes()
            if not _known_to(process) & set(orchestrator_urls)
        ]
        return await self._end(strays, grace_s)

    async def _end(self, workers: list[tuple[str, psutil.Process]], grace_s: float) -> int:
        processes = [process for _, process in workers]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
        _, deaf = await asyncio.to_thread(psutil.wait_procs, processes, timeout=grace_s)
        for process in deaf:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        for instance_id, _ in workers:
            self._files.remove(instance_id)
        return len(workers)

    def _processes(self) -> list[tuple[str, psutil.Process]]:
        found = []
        for file in self._files.read_all():
            process = self._files.process(file)
            if process is not None:
                found.append((file.instance_id, process))
        return found

    def _url(self, process: psutil.Process) -> str | None:
        if process.pid in self._urls:
            return self._urls[process.pid]
        for connection in process.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN:
                return f"http://{connection.laddr.ip}:{connection.laddr.port}"
        return None


def _known_to(process: psutil.Process) -> set[str]:
    """Return the orchestrators that a worker was started with; none if it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return set(process.environ().get("DYNWORK_ORCHESTRATOR_URLS", "").split(","))
    return set()
