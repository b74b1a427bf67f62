"""What an API instance bears: bodies that trickle in, and requests that wait. One API, one orchestrator, no worker.

    make bench-surface, or python -m benchmarks.surface [--slow 50] [--seconds 20] [--waiters 1000]

Slow clients: so many PUT a buffer of 16 MiB each, all but its last bytes at once and those at 1 KB/s, so that every
buffer is complete in the end; had the API kept them, their bytes would be in its memory. While they trickle others PUT
buffers of 1 KB, one after the other, as they did before.

Waiters: so many requests wait, each for a job of its own; then jobs are cancelled one after the other, and each waiter
is timed from the answer to the cancellation. Then so many wait for one job, and so many follow the feed: timed until
the last of them is answered.

Memory is the resident set of the API's process, looked at ten times a second: how far its highest lies above what it
was idle, after a warm-up. The load generator shares the cores with what it measures.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import resource
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
from benchmarks.local import HOST, Connection, cpu_s, ready, site

SEED = 20261124
SLOW_BYTES = 16 * 1024**2
PIECE_BYTES, PIECE_S = 1024, 1.0
OTHERS = 4
WAIT_S = 30
SINGLE_WAKES = 200
SETTLE_S = 3.0
BUSY_MAX = 0.1
ARRIVAL_S = 0.004
MIB = 1024**2


class Memory:
    """The API's resident set, beside what it was idle; MiB."""

    def __init__(self, api: psutil.Process) -> None:
        self._api = api
        self._idle = api.memory_info().rss
        self._highest = self._idle

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        self._idle = self._highest = self._api.memory_info().rss
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(self._look())
            yield
            looking.cancel()

    async def _look(self) -> None:
        while True:
            self._highest = max(self._highest, self._api.memory_info().rss)
            await asyncio.sleep(0.1)

    def __str__(self) -> str:
        return f"API memory +{(self._highest - self._idle) / MIB:.1f} MiB above {self._idle / MIB:.1f} MiB idle"


def spread(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    middle, late = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    return f"p50 {1000 * middle:.1f} ms, p99 {1000 * late:.1f} ms, n {len(ordered)}"


async def put_slowly(port: int, body: bytes, seconds: int, trickling: asyncio.Barrier) -> None:
    """PUT ``body``, its last KBs one a second, once all are so far; look at the job's hash."""
    reader, writer = await asyncio.open_connection(HOST, port)
    head = f"PUT /enqueue?iterations=1 HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode())
    rest = len(body) - seconds * PIECE_BYTES
    for begin in range(0, rest, 64 * 1024):
        writer.write(body[begin : min(begin + 64 * 1024, rest)])
        await writer.drain()
    await trickling.wait()
    for begin in range(rest, len(body), PIECE_BYTES):
        await asyncio.sleep(PIECE_S)
        writer.write(body[begin : begin + PIECE_BYTES])
        await writer.drain()
    answer = (await reader.readuntil(b"}")).decode()
    writer.close()
    assert answer.startswith("HTTP/1.1 202"), answer
    job_id = json.loads(answer.partition("\r\n\r\n")[2])["job_id"]
    connection = await Connection(port).open()
    job = await connection.json("GET", f"/jobs/{job_id}")
    connection.close()
    assert job["hash"] == hashlib.sha512(body).hexdigest(), "the buffer was not hashed whole"


async def put_others(port: int, over: asyncio.Event) -> list[float]:
    """PUT small buffers over a few connections until ``over``; return how long each took, seconds."""
    taken: list[float] = []

    async def put() -> None:
        connection = await Connection(port).open()
        while not over.is_set():
            began = time.monotonic()
            await connection.json("PUT", "/enqueue?iterations=1", b"x" * 1024)
            taken.append(time.monotonic() - began)
            await asyncio.sleep(0.01)
        connection.close()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(OTHERS):
            tasks.create_task(put())
    return taken


async def slow_clients(port: int, memory: Memory, count: int, seconds: int) -> None:
    rng = random.Random(SEED)
    over = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        alone = tasks.create_task(put_others(port, over))
        await asyncio.sleep(SETTLE_S)
        over.set()
    over = asyncio.Event()
    body = rng.randbytes(SLOW_BYTES)
    trickling = asyncio.Barrier(count + 1)
    async with memory.watched(), asyncio.TaskGroup() as tasks:
        async with asyncio.TaskGroup() as slow:
            for _ in range(count):
                slow.create_task(put_slowly(port, body, seconds, trickling))
            await trickling.wait()
            others = tasks.create_task(put_others(port, over))
        over.set()
    print(f"{count} clients of {SLOW_BYTES / MIB:.0f} MiB, the last {seconds} KB at 1 KB/s: {memory}")
    print(f"    others before:    {spread(alone.result())}\n    others meanwhile: {spread(others.result())}")


async def queued(connection: Connection, count: int) -> list[str]:
    """Submit ``count`` jobs that nobody computes; return their ids."""
    item = {"sha512": hashlib.sha512(b"wait for me").hexdigest(), "iterations": 1000}
    ids: list[str] = []
    while len(ids) < count:
        message = {"jobs": [item] * min(1000, count - len(ids))}
        reply = await connection.json("POST", "/jobs", json.dumps(message).encode())
        ids += [result["job_id"] for result in reply["results"]]
    return ids


class Crowd:
    """Connections that wait: when each of them was answered."""

    def __init__(self, port: int, api: psutil.Process) -> None:
        self._port = port
        self._api = api
        self._connections: list[Connection] = []
        self._tasks: list[asyncio.Task[float]] = []

    async def gather(self, count: int) -> None:
        self._connections = [await Connection(self._port).open() for _ in range(count)]

    async def wait(self, targets: Sequence[str]) -> None:
        """Let one after the other ask for its target; return when all are parked and the API is idle."""
        loop = asyncio.get_running_loop()
        self._tasks = []
        for connection, target in zip(self._connections, targets, strict=True):
            self._tasks.append(loop.create_task(self._ask(connection, target)))
            await asyncio.sleep(ARRIVAL_S)
        parked, boss = 0.0, await Connection(self._port).open()
        while parked < len(targets):
            await asyncio.sleep(0.1)
            page = (await boss.request("GET", "/metrics"))[1].decode()
            parked = float(page.partition("\ndynwork_api_waiting_requests ")[2].split()[0])
        boss.close()
        while await self.busy(0.5) > BUSY_MAX:
            pass
        assert not any(task.done() for task in self._tasks), "somebody was answered before anything ended"

    async def busy(self, seconds: float) -> float:
        """Return how much of a core the API takes."""
        before = cpu_s([self._api])[0]
        await asyncio.sleep(seconds)
        return (cpu_s([self._api])[0] - before) / seconds

    async def _ask(self, connection: Connection, target: str) -> float:
        await connection.json("GET", target)
        return time.monotonic()

    async def answered(self) -> list[float]:
        return list(await asyncio.gather(*self._tasks))

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


async def cancel(connection: Connection, job_id: str) -> float:
    """End a job; return when that was answered."""
    await connection.json("DELETE", f"/jobs/{job_id}")
    return time.monotonic()


async def waiters(port: int, api: psutil.Process, memory: Memory, count: int) -> None:
    boss = await Connection(port).open()
    ids = await queued(boss, count)
    crowd = Crowd(port, api)
    async with memory.watched():
        await crowd.gather(count)
        await crowd.wait([f"/jobs/{job_id}?wait_s={WAIT_S}" for job_id in ids])
        parked = await crowd.busy(SETTLE_S)
        ended = []
        for job_id in ids:
            ended.append(await cancel(boss, job_id))
            if len(ended) <= SINGLE_WAKES:
                await asyncio.sleep(0.01)  # so that each is woken alone
        woken = [heard - end for heard, end in zip(await crowd.answered(), ended, strict=True)]
    print(f"{count} waiters, each for its own job: {memory}; parked they take {100 * parked:.1f} % of a core")
    print(f"    woken one by one:          {spread(woken[:SINGLE_WAKES])}")
    if count > SINGLE_WAKES:
        print(f"    woken as fast as jobs end: {spread(woken[SINGLE_WAKES:])}")
    one, another = await queued(boss, 2)
    for name, target, ending in (
        ("for one job", f"/jobs/{one}?wait_s={WAIT_S}", one),
        ("for the feed", f"/results?after=newest&wait_s={WAIT_S}", another),
    ):
        await crowd.wait([target] * count)
        end = await cancel(boss, ending)
        heard = [1000 * (at - end) for at in await crowd.answered()]
        print(f"{count} waiters {name}: answered after {min(heard):.0f} to {max(heard):.0f} ms")
    crowd.close()
    boss.close()


async def measure(arguments: argparse.Namespace, folder: Path) -> None:
    where = site(folder)
    with where.running("orchestrator", "api") as (_, api):
        await ready(where.api)
        over = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:  # warm-up
            tasks.create_task(put_others(where.api, over))
            await asyncio.sleep(SETTLE_S)
            over.set()
        memory = Memory(api)
        await slow_clients(where.api, memory, arguments.slow, arguments.seconds)
        await waiters(where.api, api, memory, arguments.waiters)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--slow", type=int, default=50, help="clients whose bodies trickle in")
    parser.add_argument("--seconds", type=int, default=20, help="for how long they do")
    parser.add_argument("--waiters", type=int, default=1000)
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # for the roles, too: they inherit it
    with tempfile.TemporaryDirectory(prefix="dynwork-bench-") as folder:
        asyncio.run(measure(arguments, Path(folder)))


if __name__ == "__main__":
    main()
