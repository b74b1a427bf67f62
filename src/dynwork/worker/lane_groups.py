"""The two ways of running lanes: a process for kinds that hold the interpreter, a thread for those that release it.

Both take one batch at a time and give it back after about ``max_seconds``. A lane process is started when it is first
needed and replaced after it died; that it died is an error of the work it was doing, and a hung one is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from dynwork import logs
from dynwork.kinds import Kind
from dynwork.worker import frames, niceness, slices
from dynwork.worker.slices import Batch, Slice, WorkError

log = logs.get("dynwork.worker.lanes")

OVERRUN_S_MAX = 60.0
"""A lane process that has not answered this long after its slice should have ended is hung, seconds."""


class LaneGroup(Protocol):
    """Lanes that advance together: one batch at a time."""

    async def advance(self, kind: Kind, batch: Batch, max_seconds: float) -> Slice:
        """Advance ``batch`` for about ``max_seconds``. Raises ``WorkError``; the group takes another batch after it."""
        ...

    async def close(self) -> None:
        """End what runs. Safe to call twice."""
        ...


class ThreadLanes:
    """A thread of this process, for kinds whose ``advance`` runs without the interpreter."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "lane", niceness.give_way)

    async def advance(self, kind: Kind, batch: Batch, max_seconds: float) -> Slice:
        """See :meth:`LaneGroup.advance`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, slices.advance, kind, batch, max_seconds)

    async def close(self) -> None:
        """Take no more batches. A running one ends with its slice: a thread cannot be ended from outside."""
        self._thread.shutdown(wait=False, cancel_futures=True)


class ProcessLanes:
    """A child process that ends with this one (:mod:`dynwork.worker.lane_process`)."""

    def __init__(
        self,
        environment: Mapping[str, str],
        on_death: Callable[[], None] = lambda: None,
        overrun_s_max: float = OVERRUN_S_MAX,
    ) -> None:
        """``environment`` is the child's, which runs foreign code; ``on_death`` hears of each that died or hung."""
        self._environment = dict(environment)
        self._on_death = on_death
        self._overrun_s_max = overrun_s_max
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id, ``None`` while there is none."""
        return self._process.pid if self._process else None

    async def advance(self, kind: Kind, batch: Batch, max_seconds: float) -> Slice:
        """See :meth:`LaneGroup.advance`. The child finds ``kind`` by its name, among its own entry points."""
        process = await self._living()
        watchdog = _Watchdog(process, max_seconds + self._overrun_s_max)
        answered = False
        try:
            with watchdog:
                payload = await _exchange(process, frames.pack_batch(batch, max_seconds))
            made = frames.unpack_answer(payload, len(batch.states))
            answered = True
        except WorkError:
            answered = True
            raise
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            await self.close()
            self._on_death()
            raise WorkError("lane_died", _obituary(process, watchdog.barked, error)) from error
        finally:
            if not answered:  # cancelled: a late answer would be taken for the next batch's
                await self.close()
        return made

    async def close(self) -> None:
        """See :meth:`LaneGroup.close`."""
        if self._process is not None:
            await _end(self._process)
            self._process = None  # only now: whoever was cancelled while it ended will try again

    async def _living(self) -> Process:
        if self._process is not None and self._process.returncode is not None:  # between two batches: nobody's fault
            log.warning("idle_lane_died", pid=self._process.pid, returncode=self._process.returncode)
            self._on_death()
            await self.close()
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "dynwork.worker.lane_process"), stdin=PIPE, stdout=PIPE, env=self._environment
            )
        return self._process


class _Watchdog:
    """Ends a process that does not answer in time. It looks twice: the whole machine may have stood still meanwhile."""

    def __init__(self, process: Process, seconds: float) -> None:
        self._process = process
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self.barked = False

    def __enter__(self) -> None:
        self._look_later(self._look_later, self._bark)

    def __exit__(self, *_: object) -> None:
        assert self._timer is not None
        self._timer.cancel()

    def _look_later(self, then: Callable[..., None], *arguments: object) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._seconds / 2, then, *arguments)

    def _bark(self) -> None:
        self.barked = True
        _kill(self._process)


async def _exchange(process: Process, payload: bytes) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(frames.framed(payload))
    await process.stdin.drain()
    prefix = await process.stdout.readexactly(frames.LENGTH.size)
    return await process.stdout.readexactly(frames.length_of(prefix))


async def _end(process: Process) -> None:
    """Kill and reap. Nothing is lost: what a lane has not answered counts as not done."""
    _kill(process)
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()


def _kill(process: Process) -> None:
    """Send SIGKILL. Not by ``Process.kill``: that polls first, and takes the exit status from whoever waits for it."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def _obituary(process: Process, hung: bool, error: Exception) -> str:
    if hung:
        return "the lane process gave no answer in time and was ended"
    if isinstance(error, ValueError):
        return "the lane process gave an answer that makes no sense and was ended"
    returncode = process.returncode or 0
    how = f"signal {-returncode} ({signal.strsignal(-returncode)})" if returncode < 0 else f"exit code {returncode}"
    return f"the lane process ended with {how} while it advanced this chain"
