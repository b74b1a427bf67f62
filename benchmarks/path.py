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
import hashlib
import itertools
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

MIXES = (("16 KB x 1", 16, 1), ("16 KB x 100", 16, 100), ("256 KB x 100", 256, 100))
ROLES = ("orchestrator", "api", "worker")
DEADLINE_S = 120.0
SEED = 20261124


@dataclass(frozen=True)
class Measured:
    """One run of one mix."""

    accepted_per_s: float
    completed_per_s: float
    cpu_ms_per_job: tuple[float, ...]
    """Of each role, in the order of :data:`ROLES`; a worker's lane processes count as the worker's."""


class Connection:
    """One keep-alive HTTP/1.1 connection, as lean as a load generator should be."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    async def open(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def request(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        head = f"{method} {target} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        await self._writer.drain()
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        status = int(lines[0].split()[1])
        length = next(int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length"))
        return status, await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[int, list[psutil.Process]]]:
    """Run the three roles; yield the API's port and their processes."""
    api, orchestrator = free_port(), free_port()
    environment = {
        **os.environ,
        "DYNWORK_DATA_DIR": str(folder),
        "DYNWORK_API_PORT": str(api),
        "DYNWORK_ORCHESTRATOR_PORT": str(orchestrator),
        "DYNWORK_ORCHESTRATOR_URLS": f"http://127.0.0.1:{orchestrator}",
        "DYNWORK_WORKER_PORT": "0",
        "DYNWORK_LOG_LEVEL": "warning",
    }
    roles = [subprocess.Popen([sys.executable, "-m", f"dynwork.{role}"], env=environment) for role in ROLES]
    try:
        yield api, [psutil.Process(role.pid) for role in roles]
    finally:
        for role in reversed(roles):
            role.terminate()
        for role in reversed(roles):
            role.wait(timeout=15)


async def ready(port: int) -> None:
    """Wait until a job goes all the way."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            connection = await Connection("127.0.0.1", port).open()
            status, body = await connection.request("PUT", "/enqueue?iterations=2", b"ready?")
            if status == 202:
                await result_of(connection, json.loads(body)["job_id"])
                connection.close()
                return
        except OSError:
            pass
        await asyncio.sleep(0.1)
    raise SystemExit("the cluster did not get ready; see its output above")


async def result_of(connection: Connection, job_id: str) -> None:
    """Ask for the newest result until it is the job's."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        _, body = await connection.request("POST", "/pullCompleted?top=1")
        newest = json.loads(body)
        if newest and newest[0]["job_id"] == job_id:
            return
    raise SystemExit(f"no result of {job_id} within {DEADLINE_S} s")


def cpu_s(roles: list[psutil.Process]) -> list[float]:
    """Processor seconds used so far by each role, user and system."""
    return [sum(sum(process.cpu_times()[:2]) for process in (role, *role.children(recursive=True))) for role in roles]


async def load(
    port: int, roles: list[psutil.Process], bodies: list[bytes], iterations: int, connections: int
) -> Measured:
    """Put every body over ``connections`` connections; wait for the last result; check one hash in a hundred."""
    expected: dict[str, bytes] = {}
    work = iter(bodies)
    cursor = await newest_cursor(port)
    cpu, started = cpu_s(roles), time.monotonic()

    async def put() -> None:
        connection = await Connection("127.0.0.1", port).open()
        for body in work:
            status, answer = await connection.request("PUT", f"/enqueue?iterations={iterations}", body)
            if status != 202:
                raise SystemExit(f"PUT /enqueue answered {status}: {answer!r}")
            expected[json.loads(answer)["job_id"]] = body
        connection.close()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(connections):
            tasks.create_task(put())
    accepted_s = time.monotonic() - started
    hashes = await follow(port, cursor, len(bodies))
    completed_s = time.monotonic() - started
    used = [after - before for before, after in zip(cpu, cpu_s(roles), strict=True)]
    for job_id in itertools.islice(expected, 0, None, 100):
        assert hashes[job_id] == chain(expected[job_id], iterations), f"wrong hash for {job_id}"
    assert hashes.keys() == expected.keys(), "results and accepted jobs differ"
    count = len(bodies)
    return Measured(count / accepted_s, count / completed_s, tuple(1000 * seconds / count for seconds in used))


async def newest_cursor(port: int) -> str:
    connection = await Connection("127.0.0.1", port).open()
    target = "/results?limit=1000"
    while True:
        _, body = await connection.request("GET", target)
        page = json.loads(body)
        if len(page["results"]) < 1000:
            connection.close()
            return str(page["next"])
        target = f"/results?limit=1000&after={page['next']}"


async def follow(port: int, cursor: str, count: int) -> dict[str, str]:
    """Read the feed from ``cursor`` until ``count`` results are there."""
    connection = await Connection("127.0.0.1", port).open()
    hashes: dict[str, str] = {}
    deadline = time.monotonic() + DEADLINE_S
    while len(hashes) < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"{len(hashes)} of {count} results after {DEADLINE_S} s")
        _, body = await connection.request("GET", f"/results?limit=1000&after={cursor}")
        page = json.loads(body)
        hashes.update((item["job_id"], item["hash"]) for item in page["results"])
        cursor = page["next"]
        if not page["results"]:
            await asyncio.sleep(0.02)
    connection.close()
    return hashes


async def idle_latency_ms(port: int, body: bytes, iterations: int, times: int) -> list[float]:
    connection = await Connection("127.0.0.1", port).open()
    taken = []
    for _ in range(times):
        started = time.monotonic()
        _, answer = await connection.request("PUT", f"/enqueue?iterations={iterations}", body)
        await result_of(connection, json.loads(answer)["job_id"])
        taken.append(1000 * (time.monotonic() - started))
        await asyncio.sleep(0.02)
    connection.close()
    return taken


def chain(body: bytes, iterations: int) -> str:
    state = hashlib.sha512(body).digest()
    for _ in range(iterations - 1):
        state = hashlib.sha512(state).digest()
    return state.hex()


async def measure(arguments: argparse.Namespace, folder: Path) -> None:
    rng = random.Random(SEED)
    with cluster(folder) as (port, roles):
        await ready(port)
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
