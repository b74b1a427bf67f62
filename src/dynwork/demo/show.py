"""The course of the demo."""

from __future__ import annotations

import asyncio
import multiprocessing
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from rich.console import Console

from dynwork import kinds
from dynwork.client import AsyncClient
from dynwork.clock import Clock, SystemClock
from dynwork.compose import cluster
from dynwork.demo.board import Board
from dynwork.demo.client import Client, Progress, percentile, until, waits_s
from dynwork.demo.work import BUFFERS, Piece, by_buffer, pieces, right_hashes
from dynwork.errors import DynworkError
from dynwork.kinds.measure import measure
from dynwork.serving import Stop
from dynwork.settings import cores
from dynwork.up.options import UpOptions
from dynwork.up.ports import free_api_port
from dynwork.up.supervisor import Supervisor
from dynwork.wire import CompletedView

MAX_WORKERS = 4
MEASURE_S = 0.6
"""How long the kernel is measured, to know how much work is enough, seconds."""
DONE_S_MAX, IDLE_S_MAX = 90.0, 60.0
"""Everything must be done, then checked and the fleet back at one worker, within these, seconds."""
SETTINGS = {
    "DYNWORK_API_KEYS": "",
    "DYNWORK_FLEET_BACKLOG_TARGET_S": "2",  # a demo has no patience: grow soon,
    "DYNWORK_FLEET_COOLDOWN_S": "3",  # shrink soon
}


def main() -> int:
    """Run the demo; return the exit code."""
    console = Console()
    with tempfile.TemporaryDirectory(prefix="dynwork-demo-") as directory:
        try:
            return asyncio.run(_demo(Path(directory), console))
        except ExceptionGroup as group:
            expected, defects = group.split(DynworkError)
            if defects is not None or expected is None:
                raise
            for error in _leaves(expected):
                console.print(f"dynwork demo: {error}", style="red")
            return 1


async def _demo(directory: Path, console: Console) -> int:
    clock, stop = SystemClock(), Stop()
    stop.listen()
    board = Board(console, clock, MAX_WORKERS)
    options = UpOptions(
        directory,
        max_workers=MAX_WORKERS,
        api_port=free_api_port(),
        store=f"sqlite:///{directory / 'dynwork.db'}",
        environment=SETTINGS,
    )
    speeds = measure(kinds.named(kinds.DEFAULT_KIND), MEASURE_S)  # nothing else runs yet
    work = pieces(speeds.lanes_speed, cores())
    supervisor = cluster.supervisor(options, board.say)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(supervisor.run(stop))
        showing = tasks.create_task(_show(supervisor, work, clock, board))
        interrupted = tasks.create_task(stop.wait())
        await asyncio.wait([showing, interrupted], return_when=asyncio.FIRST_COMPLETED)
        if not showing.done():
            showing.cancel()
            board.say("interrupted")
        stop.set()
    return 1 if showing.cancelled() else showing.result()


async def _show(supervisor: Supervisor, work: Sequence[Piece], clock: Clock, board: Board) -> int:
    await supervisor.ready.wait()
    progress = Progress(len(work))
    async with AsyncClient(supervisor.urls) as api:
        client = Client(api, clock, progress)

        async def look() -> None:
            await client.follow()
            await client.look_at_fleet()
            board.show(progress)

        with board.live(progress):
            began = clock.monotonic()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(client.burst(work))
                await until(clock, lambda: len(progress.ended) == len(work), DONE_S_MAX, look)
            wall_s = clock.monotonic() - began
            results = await client.pull(len(work))
            async with asyncio.TaskGroup() as tasks:
                checking = tasks.create_task(_wrong(progress, results))
                await until(clock, lambda: checking.done() and progress.workers <= 1, IDLE_S_MAX, look)
        waits = waits_s(await client.jobs())
    found = problems(progress, results, checking.result())
    board.chart(progress.fleet)
    board.table(
        [
            (
                "jobs",
                f"{len(work)} over {BUFFERS} buffers of 16 to 256 KB, {sum(p.size for p in work) / 1e6:.0f} MB in all",
            ),
            ("hashes computed", f"{sum(p.iterations for p in work):,}"),
            ("wall time", f"{wall_s:.1f} s from the first job handed in to the last result seen"),
            ("throughput", f"{len(progress.ended) / wall_s:.1f} jobs/s"),
            ("wait to start", f"p50 {percentile(waits, 0.5):.1f} s, p95 {percentile(waits, 0.95):.1f} s"),
            ("workers", f"1, {progress.most_workers} at the most, {progress.workers} at the end"),
            ("hashes right", f"{progress.checked - len(checking.result())} of {len(work)}, by hashlib"),
        ]
    )
    for problem in found:
        board.complain(problem)
    return 1 if found else 0


async def _wrong(progress: Progress, results: Mapping[str, CompletedView]) -> list[str]:
    """Compute every hash that was pulled once more, on all cores; return the ids of those that are wrong."""
    wrong: list[str] = []
    loop = asyncio.get_running_loop()
    pool = ProcessPoolExecutor(cores(), mp_context=multiprocessing.get_context("spawn"))

    pulled = {piece: job_id for job_id, piece in progress.accepted.items() if job_id in results}

    async def check(group: Sequence[Piece]) -> None:
        right = await loop.run_in_executor(pool, right_hashes, group)
        wrong.extend(
            pulled[piece]
            for piece, expected in zip(group, right, strict=True)
            if results[pulled[piece]].hash != expected
        )
        progress.checked += len(group)

    try:
        async with asyncio.TaskGroup() as tasks:
            for group in by_buffer(pulled):
                tasks.create_task(check(group))
    finally:
        pool.shutdown(cancel_futures=True)
    return wrong


def problems(progress: Progress, results: Mapping[str, CompletedView], wrong: list[str]) -> list[str]:
    """Return what is not as it should be, a sentence each."""
    missing = [job_id for job_id in progress.accepted if job_id not in results or job_id not in progress.ended]
    return [
        *(f"the hash of {job_id} is wrong" for job_id in wrong),
        *(f"the result of {job_id} is missing" for job_id in missing),
        *(["not every job was accepted"] if len(progress.accepted) < progress.total else []),
        *([f"the fleet did not grow to {MAX_WORKERS} workers"] if progress.most_workers < MAX_WORKERS else []),
        *(["the fleet did not go back to 1 worker"] if progress.workers != 1 else []),
    ]


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
