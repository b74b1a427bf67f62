"""A process with all that it has started, ended together."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Sequence

import psutil

LOOK_S = 0.02


class Family:
    """The processes that descend from ``leading`` at this moment, and itself."""

    def __init__(self, leading: psutil.Process) -> None:
        self._leading = leading
        self._members = [leading]
        with contextlib.suppress(psutil.NoSuchProcess):
            self._members += leading.children(recursive=True)

    def ask(self, number: signal.Signals, wait_s: float) -> None:
        """Send the leading process ``number``; kill what still runs after ``wait_s`` seconds."""
        _send([self._leading], number)
        self._await_end(wait_s)
        self.kill(wait_s)

    def kill(self, wait_s: float) -> None:
        """Kill all of them with -9; return when none runs, at most ``wait_s`` seconds later."""
        _send(self._members, signal.SIGKILL)
        self._await_end(wait_s)

    def _await_end(self, wait_s: float) -> None:
        running = self._members
        for _ in range(round(wait_s / LOOK_S)):
            running = [process for process in running if _runs(process)]
            if not running:
                return
            psutil.wait_procs(running[:1], timeout=LOOK_S)


def _send(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _runs(process: psutil.Process) -> bool:
    """Say whether it still does anything; whether its parent has heard of its end does not matter."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    return False
