"""Real clusters for system tests: ``dynwork up`` and all that it starts, as processes that a test may kill.

    with Cluster(tmp_path) as cluster:          # dynwork up on free ports, until it says that everything is ready
        victim = cluster.kill("worker")         # kill -9; also: processes.pause(pid), .resume(pid)
        cluster.await_replaced(victim)          # the supervisor, or the orchestrator, started another
        assert cluster.stop() == 0              # SIGTERM, as an operator would

Everything is waited for with a bound (:func:`~dynwork.testing.waiting.wait_until`). Leaving a ``with`` ends every
process of the cluster, its workers included, whatever the test has done to them. Logs stay in ``data_dir/logs``.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil

from dynwork.orchestrator.fleet.pidfiles import PidFiles
from dynwork.testing.processes import READY_S, STOP_S, Daemon, is_ready, kill
from dynwork.testing.waiting import wait_until
from dynwork.up.ports import free_api_port


@dataclass(frozen=True, slots=True)
class Seen:
    """An entry of ``cluster.json``."""

    role: str
    pid: int
    url: str


@dataclass(frozen=True, slots=True)
class Shape:
    """The options of ``dynwork up``, and settings for all roles on top. ``store``: SQLite if unset."""

    apis: int = 2
    orchestrators: int = 1
    store: str | None = None
    min_workers: int = 1
    max_workers: int = 4
    variables: dict[str, str] = field(default_factory=dict)


class Cluster:
    """``dynwork up`` on free ports and one data directory, which outlives stops and kills."""

    def __init__(self, data_dir: Path, shape: Shape | None = None) -> None:
        self.data_dir = data_dir
        self.shape = shape or Shape()
        self.api_port = free_api_port(self.shape.apis, self.shape.orchestrators)
        arguments = ["dynwork", "up", "--api-port", str(self.api_port), "--data-dir", str(data_dir)]
        arguments += ["--apis", str(self.shape.apis), "--min-workers", str(self.shape.min_workers)]
        arguments += ["--max-workers", str(self.shape.max_workers), "--orchestrators", str(self.shape.orchestrators)]
        arguments += ["--store", self.shape.store] if self.shape.store else []
        self.up = Daemon(arguments, data_dir / "logs" / "up.log", **self.shape.variables)
        self._pids: set[int] = set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def start(self, timeout_s: float = READY_S) -> None:
        """Start the supervisor and wait until it says that everything is ready."""
        self._file.unlink(missing_ok=True)
        self.up.start()

        def ready() -> bool:
            assert self.up.alive(), f"dynwork up ended: {self.up.log.read_text()[-2000:]}"
            return self._file.exists()

        wait_until(ready, "cluster.json", timeout_s)

    def stop(self, timeout_s: float = STOP_S) -> int:
        """SIGTERM to the supervisor; return its exit code."""
        self.roles()
        return self.up.stop(timeout_s)

    def end(self) -> None:
        """End everything that ever belonged to the cluster, at once, and wait until it is gone."""
        if self.up.alive():
            self.roles()
            self.up.kill()
        processes = []
        for pid in self._pids:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                ours = str(self.data_dir) in " ".join([process.cwd(), *process.environ().values()])
                if ours or process.ppid() == self.up.pid:
                    processes.append(process)
        files = PidFiles(self.data_dir / "workers")
        processes += [found for file in files.read_all() if (found := files.process(file)) is not None]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=STOP_S)

    def roles(self, role: str | None = None) -> list[Seen]:
        """Return what runs now, by ``cluster.json``; of one role only, if given."""
        try:
            entries = json.loads(self._file.read_text())
        except FileNotFoundError:
            return []
        self._pids |= {entry["pid"] for entry in entries}
        return [Seen(**entry) for entry in entries if role in (None, entry["role"])]

    def kill(self, role: str, index: int = 0) -> Seen:
        """Kill -9 one process of the role; return what it was."""
        victim = self.roles(role)[index]
        kill(victim.pid)
        return victim

    def await_replaced(self, victim: Seen, timeout_s: float = READY_S) -> Seen:
        """Wait until another process of the same role is ready; return it. A worker's successor has another url."""
        before = {seen.pid for seen in self.roles(victim.role)} - {victim.pid}

        def successor() -> Seen | None:
            fresh = [seen for seen in self.roles(victim.role) if seen.pid not in before | {victim.pid}]
            return next((seen for seen in fresh if is_ready(seen.url)), None)

        return wait_until(successor, f"another {victim.role} in place of {victim.pid}", timeout_s)

    @property
    def api_urls(self) -> list[str]:
        """Where the APIs answer, whether they run or not."""
        return [f"http://127.0.0.1:{self.api_port + index}" for index in range(self.shape.apis)]

    def fleet(self) -> dict[str, object]:
        """``GET /fleet`` from whichever API answers."""
        return self._get("/fleet")

    def stats(self) -> dict[str, object]:
        """``GET /stats`` from whichever API answers."""
        return self._get("/stats")

    def _get(self, path: str) -> dict[str, object]:
        def answer() -> dict[str, object] | None:
            for url in self.api_urls:
                with contextlib.suppress(httpx.HTTPError):
                    body: dict[str, object] = (
                        httpx.get(url + path, timeout=5.0, trust_env=False).raise_for_status().json()
                    )
                    return body
            return None

        return wait_until(answer, f"an answer to GET {path}")

    @property
    def _file(self) -> Path:
        return self.data_dir / "cluster.json"
