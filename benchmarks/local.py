"""What the benchmarks share: a cluster of real processes on this machine, and a lean client to load it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

DEADLINE_S = 120.0
HOST = "127.0.0.1"


class Connection:
    """One keep-alive HTTP/1.1 connection, as lean as a load generator should be."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection(HOST, self._port)
        return self

    async def request(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        head = f"{method} {target} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        await self._writer.drain()
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        status = int(lines[0].split()[1])
        length = next(int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length"))
        return status, await self._reader.readexactly(length)

    async def json(self, method: str, target: str, body: bytes = b"") -> Any:
        """Return the answer to a request that must succeed."""
        status, answer = await self.request(method, target, body)
        if status >= 300:
            raise SystemExit(f"{method} {target} answered {status}: {answer!r}")
        return json.loads(answer)

    def close(self) -> None:
        self._writer.close()


@dataclass(frozen=True)
class Site:
    """Where a cluster lives: its ports and the environment of its roles."""

    api: int
    worker: int
    environment: Mapping[str, str]

    @contextmanager
    def running(self, *roles: str) -> Iterator[list[psutil.Process]]:
        """Run these roles; yield their processes."""
        started = [subprocess.Popen([sys.executable, "-m", f"dynwork.{role}"], env=self.environment) for role in roles]
        try:
            yield [psutil.Process(role.pid) for role in started]
        finally:
            for role in reversed(started):
                role.terminate()
            for role in reversed(started):
                role.wait(timeout=15)


def site(folder: Path) -> Site:
    """Prepare a cluster on free ports, with its data in ``folder``."""
    api, orchestrator, worker = _free_port(), _free_port(), _free_port()
    environment = {
        **os.environ,
        "DYNWORK_DATA_DIR": str(folder),
        "DYNWORK_API_PORT": str(api),
        "DYNWORK_ORCHESTRATOR_PORT": str(orchestrator),
        "DYNWORK_ORCHESTRATOR_URLS": f"http://{HOST}:{orchestrator}",
        "DYNWORK_WORKER_PORT": str(worker),
        "DYNWORK_LOG_LEVEL": "warning",
    }
    return Site(api, worker, environment)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


async def ready(port: int) -> None:
    """Wait until a role is ready."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            connection = await Connection(port).open()
            status, _ = await connection.request("GET", "/readyz")
            connection.close()
            if status == 200:
                return
        except OSError:
            pass
        await asyncio.sleep(0.1)
    raise SystemExit("the cluster did not get ready; see its output above")


async def result_of(connection: Connection, job_id: str) -> None:
    """Ask for the newest result until it is the job's."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        newest = await connection.json("POST", "/pullCompleted?top=1")
        if newest and newest[0]["job_id"] == job_id:
            return
    raise SystemExit(f"no result of {job_id} within {DEADLINE_S} s")


async def newest_cursor(port: int) -> str:
    """Return the place behind all results so far."""
    connection = await Connection(port).open()
    target = "/results?limit=1000"
    while True:
        page = await connection.json("GET", target)
        if len(page["results"]) < 1000:
            connection.close()
            return str(page["next"])
        target = f"/results?limit=1000&after={page['next']}"


async def follow(port: int, cursor: str, count: int, pause_s: float = 0.02) -> dict[str, Any]:
    """Read the feed from ``cursor`` until ``count`` results are there; return them by job id."""
    connection = await Connection(port).open()
    results: dict[str, Any] = {}
    deadline = time.monotonic() + DEADLINE_S
    while len(results) < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"{len(results)} of {count} results after {DEADLINE_S} s")
        page = await connection.json("GET", f"/results?limit=1000&after={cursor}")
        results.update((item["job_id"], item) for item in page["results"])
        cursor = page["next"]
        if len(page["results"]) < 1000:
            await asyncio.sleep(pause_s)
    connection.close()
    return results


async def put_all(port: int, jobs: Sequence[tuple[bytes, int]], connections: int) -> dict[str, tuple[bytes, int]]:
    """Put jobs (body, iterations) over so many connections; return them by their ids."""
    accepted: dict[str, tuple[bytes, int]] = {}
    work = iter(jobs)

    async def put() -> None:
        connection = await Connection(port).open()
        for body, iterations in work:
            answer = await connection.json("PUT", f"/enqueue?iterations={iterations}", body)
            accepted[answer["job_id"]] = body, iterations
        connection.close()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(connections):
            tasks.create_task(put())
    return accepted


def cpu_s(roles: Sequence[psutil.Process]) -> list[float]:
    """Processor seconds used so far by each role and its children, user and system."""
    return [sum(sum(process.cpu_times()[:2]) for process in (role, *role.children(recursive=True))) for role in roles]


def chain(body: bytes, iterations: int) -> str:
    """Return the right hash of a job, in hex."""
    state = hashlib.sha512(body).digest()
    for _ in range(iterations - 1):
        state = hashlib.sha512(state).digest()
    return state.hex()
