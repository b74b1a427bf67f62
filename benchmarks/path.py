"""The whole way of a job, measured: PUT a buffer, get its hash. One API, one orchestrator, one worker.

    python -m benchmarks.path [--runs 5] [--jobs 2000] [--connections 32]

The load generator shares the cores with what it measures. For each mix it prints medians over the runs:
accepted per second (while putting), completed per second (first PUT to last result), CPU milliseconds a job (API +
orchestrator + worker with its lane processes, user and system) and, with nothing else going on, the time from PUT to
the result in ``POST /pullCompleted``, p50 and p99.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from benchmarks.local import Connection, chain, cpu_s, follow, newest_cursor, put_all, ready, result_of, site

MIXES = (("16 KB x 1", 16, 1), ("16 KB x 100", 16, 100), ("256 KB x 100", 256, 100))
ROLES = ("orchestrator", "api", "worker")
SEED = 20261124


@dataclass(frozen=True)
class Measured:
    """One run of one mix."""

    accepted_per_s: float
    completed_per_s: float
    cpu_ms_per_job: tuple[float, ...]
    """Of each role, in the order of :data:`ROLES`; a worker's lane processes count as the worker's."""


async def load(
    port: int, roles: list[psutil.Process], bodies: list[bytes], iterations: int, connections: int
) -> Measured:
    """Put every body over ``connections`` connections; wait for the last result; check one hash in a hundred."""
    cursor = await newest_cursor(port)
    cpu, started = cpu_s(roles), time.monotonic()
    accepted = await put_all(port, [(body, iterations) for body in bodies], connections)
    accepted_s = time.monotonic() - started
    results = await follow(port, cursor, len(bodies))
    completed_s = time.monotonic() - started
    used = [after - before for before, after in zip(cpu, cpu_s(roles), strict=True)]
    for job_id in itertools.islice(accepted, 0, None, 100):
        assert results[job_id]["hash"] == chain(*accepted[job_id]), f"wrong hash for {job_id}"
    assert results.keys() == accepted.keys(), "results and accepted jobs differ"
    count = len(bodies)
    return Measured(count / accepted_s, count / completed_s, tuple(1000 * seconds / count for seconds in used))


async def idle_latency_ms(port: int, body: bytes, iterations: int, times: int) -> list[float]:
    connection = await Connection(port).open()
    taken = []
    for _ in range(times):
        started = time.monotonic()
        answer = await connection.json("PUT", f"/enqueue?iterations={iterations}", body)
        await result_of(connection, answer["job_id"])
        taken.append(1000 * (time.monotonic() - started))
        await asyncio.sleep(0.02)
    connection.close()
    return taken


async def measure(arguments: argparse.Namespace, folder: Path) -> None:
    rng = random.Random(SEED)
    where = site(folder)
    port = where.api
    with where.running(*ROLES) as roles:
        await ready(where.api)
        await ready(where.worker)
        print(
            f"{'':>14} {'accepted':>9} {'completed':>9} | {'CPU ms a job':^32} | {'idle latency, ms':>16}\n"
            f"{'mix':>14} {'per s':>9} {'per s':>9} | {'all':>6} {'orchestr.':>9} {'API':>6} {'worker':>8} |"
            f" {'p50':>7} {'p99':>8}"
        )
        for name, kilobytes, iterations in MIXES:
            bodies = [rng.randbytes(kilobytes * 1024) for _ in range(arguments.jobs)]
            await load(port, roles, bodies[:200], iterations, arguments.connections)  # warm-up
            runs = [await load(port, roles, bodies, iterations, arguments.connections) for _ in range(arguments.runs)]
            latency = sorted(await idle_latency_ms(port, bodies[0], iterations, arguments.idle))
            cpu = [statistics.median(run.cpu_ms_per_job[role] for run in runs) for role in range(len(ROLES))]
            print(
                f"{name:>14} {statistics.median(run.accepted_per_s for run in runs):>9.0f}"
                f" {statistics.median(run.completed_per_s for run in runs):>9.0f} | {sum(cpu):>6.2f} {cpu[0]:>9.2f}"
                f" {cpu[1]:>6.2f} {cpu[2]:>8.2f} | {statistics.median(latency):>7.1f}"
                f" {latency[int(len(latency) * 0.99)]:>8.1f}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2000, help="jobs in a run")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--idle", type=int, default=200, help="jobs, one at a time, for the idle latency")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dynwork-bench-") as folder:
        asyncio.run(measure(arguments, Path(folder)))


if __name__ == "__main__":
    main()
