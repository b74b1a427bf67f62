"""Keeps one role running: starts it, waits for its end, starts it again, not too often; ends it when told to."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Callable
from dataclasses import dataclass

from dynwork.clock import Clock, wait_for_event
from dynwork.orchestrator.core.retry import RetryPolicy, delay_s
from dynwork.orchestrator.fleet.logfiles import LogFiles
from dynwork.up.options import RoleSpec

RESTART = RetryPolicy(backoff_s=0.2, backoff_s_max=5.0)
"""How soon a role is started again: at most this, doubling while it keeps dying."""
STABLE_S = 10.0
"""A role that ran for this long is not one that keeps dying, seconds."""
REFUSED = 2
"""The exit code of a role that refuses to start; what it said is the last line of its log."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every keeper shares. ``lifeline``: the pipe's end that roles inherit; ``say`` tells the operator a line."""

    clock: Clock
    uniform: Callable[[], float]
    say: Callable[[str], None]
    logs: LogFiles
    lifeline: int


class Keeper:
    """Keeps the process of one :class:`RoleSpec`. :meth:`run` must be running."""

    def __init__(self, spec: RoleSpec, around: Surroundings) -> None:
        self.spec = spec
        self.refused_since: float | None = None
        """When it began to refuse to start, in the clock's monotonic seconds; ``None`` if it did not."""
        self._around = around
        self._process: Process | None = None
        self._ending = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    @property
    def last_words(self) -> str:
        """The last line of its log."""
        return self._around.logs.last_line(self._log_name)

    def bound_log(self) -> None:
        """Keep its log file within the bound."""
        self._around.logs.bound(self._log_name)

    async def run(self) -> None:
        """Keep the role running until :meth:`end`."""
        clock, deaths = self._around.clock, 0
        while not self._ending.is_set():
            began = clock.monotonic()
            self._process = await self._start()
            code = await self._process.wait()
            if self._ending.is_set():
                return
            self._heed(code)
            deaths = 1 if clock.monotonic() - began >= STABLE_S else deaths + 1
            wait_s = delay_s(RESTART, deaths, self._around.uniform())
            self._around.say(f"{self.spec.name} {_ended(code)}; starting it again in {wait_s:.1f} s")
            await wait_for_event(clock, self._ending, wait_s)

    async def end(self, grace_s: float) -> None:
        """End the role: ask, wait at most ``grace_s`` seconds, then insist. Returns when it is gone."""
        self._ending.set()
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(self.spec.program.stop_signal if self.spec.program else signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await process.wait()
        except TimeoutError:
            self._around.say(f"{self.spec.name} did not end within {grace_s:.0f} s and is killed")
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    @property
    def _log_name(self) -> str:
        return f"{self.spec.name}.log"

    async def _start(self) -> Process:
        around, program = self._around, self.spec.program
        command = program.command() if program else [sys.executable, "-m", f"dynwork.{self.spec.role}"]
        with around.logs.opened(self._log_name) as output:
            return await asyncio.create_subprocess_exec(
                *command,
                cwd=program.folder if program else None,
                env={**self.spec.environment, "DYNWORK_PARENT_FD": str(around.lifeline)},
                stdin=DEVNULL,
                stdout=output,
                stderr=STDOUT,
                pass_fds=(around.lifeline,),
                start_new_session=True,  # the terminal's Ctrl-C is for the supervisor, which ends them in order
            )

    def _heed(self, code: int) -> None:
        if code != REFUSED:
            self.refused_since = None
        elif self.refused_since is None:
            self.refused_since = self._around.clock.monotonic()
            self._around.say(f"{self.spec.name} refused to start: {self.last_words}")


def _ended(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
