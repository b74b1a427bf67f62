"""Single processes for system tests, started, paused and killed by the test itself.

with LoneRole("orchestrator", tmp_path, DYNWORK_FLEET_PROVIDER="none") as orchestrator:
    orchestrator.kill(); orchestrator.start()                        # same port, same data
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from dynwork.settings import child_environment
from dynwork.testing.waiting import wait_until
from dynwork.up.ports import free_api_port

READY_S = 60.0
STOP_S = 15.0


def pause(pid: int) -> None:
    """SIGSTOP: the process is there, and silent."""
    os.kill(pid, signal.SIGSTOP)


def resume(pid: int) -> None:
    """SIGCONT."""
    os.kill(pid, signal.SIGCONT)


def kill(pid: int) -> None:
    """SIGKILL."""
    os.kill(pid, signal.SIGKILL)


def is_ready(url: str) -> bool:
    """Say whether the role at ``url`` can do its work."""
    try:
        return httpx.get(f"{url}/readyz", timeout=2.0, trust_env=False).is_success
    except httpx.HTTPError:
        return False


class Daemon:
    """One process that the test started itself; its output goes to ``log``."""

    def __init__(self, arguments: Sequence[str], log: Path, **variables: str) -> None:
        self._arguments = [sys.executable, "-m", *arguments]
        self._variables = variables
        self._process: subprocess.Popen[bytes] | None = None
        self.log = log

    @property
    def pid(self) -> int:
        """The process, which must have been started."""
        assert self._process is not None, "not started"
        return self._process.pid

    def set(self, **variables: str) -> None:
        """Set variables for the next start."""
        self._variables.update(variables)

    def start(self) -> None:
        """Start the process; the one before must have ended."""
        assert self._process is None or self._process.poll() is not None, "still running"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                self._arguments,
                env=child_environment(**self._variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def alive(self) -> bool:
        """Say whether it runs."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """Kill it with -9 and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_S)

    def stop(self, timeout_s: float = STOP_S) -> int:
        """Send SIGTERM; return the exit code. Raises ``TimeoutExpired`` if it does not end."""
        assert self._process is not None, "not started"
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout_s)

    def exit_code(self, timeout_s: float = STOP_S) -> int:
        """Wait for its end; return the exit code."""
        assert self._process is not None, "not started"
        return self._process.wait(timeout_s)


class LoneRole(Daemon):
    """One role by itself on a free port that it keeps over restarts; ``variables`` are its settings."""

    def __init__(self, role: str, data_dir: Path, **variables: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        settings = {f"DYNWORK_{role.upper()}_PORT": str(self.port), "DYNWORK_DATA_DIR": str(data_dir), **variables}
        super().__init__([f"dynwork.{role}"], data_dir / "logs" / f"lone-{role}-{self.port}.log", **settings)

    def start(self, *, wait: bool = True) -> None:
        """Start the role; with ``wait``, return when it is ready."""
        super().start()
        if wait:
            self.await_ready()

    def await_ready(self, timeout_s: float = READY_S) -> None:
        """Return when the role can do its work."""

        def ready() -> bool:
            assert self.alive(), f"the role ended: {self.log.read_text()[-2000:]}"
            return is_ready(self.url)

        wait_until(ready, f"{self.url} is ready", timeout_s)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.alive():
            self.kill()


_given: set[int] = set()


def free_port() -> int:
    """Return a port that is free and was not given to a role before.

    It is below those that outgoing connections are given: a worker that keeps calling a dead role must not, one day,
    be connected to itself.
    """
    while (port := free_api_port(1)) in _given:
        pass
    _given.add(port)
    return port
