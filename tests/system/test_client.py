"""The client and the command line on a real cluster, while parts of it are killed under them."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dynwork import AsyncClient, Client, Work, errors
from dynwork.clock import SystemClock
from dynwork.ids import new_id
from dynwork.settings import child_environment
from dynwork.testing import kinds
from dynwork.testing.chaos.site import Plan, Site, assert_sound
from dynwork.testing.ensemble import Ensemble
from dynwork.testing.ledger import chain
from dynwork.testing.waiting import wait_until
from dynwork.up.postgres import LocalPostgres

Tell = Callable[[str], None]

pytestmark = [pytest.mark.system, pytest.mark.alone, pytest.mark.timeout(300)]

JOBS, WINDOW = 20_000, 2_000
BLOWS = 4
READ_EVERY_S = 0.5
MEMORY_MB_MAX = 32.0
"""What may be allocated here at the peak, MB: window, page and call of the client; all ids, twice, of the test."""


def work(number: int) -> Work:
    return Work(hashlib.shake_256(b"%d" % number).digest(1000), 1 + number % 20 * 5, key=f"job/{number}")


def number_of(given: Work) -> int:
    assert given.key is not None
    return int(given.key.removeprefix("job/"))


def right_hash(given: Work) -> str:
    assert isinstance(given.data, bytes)
    return chain(given.data, given.iterations)


class Blows:
    """Kills APIs and orchestrators in turns, each while results keep coming, and starts it again."""

    def __init__(self, site: Site, results: Callable[[], int], all_ended: threading.Event) -> None:
        self._roles = [role for pair in zip(site.apis, site.orchestrators, strict=True) for role in pair]
        self._results = results
        self._all_ended = all_ended
        self.count = 0

    def run(self) -> None:
        for blow in range(BLOWS):
            self._await_results((blow + 1) * JOBS // (BLOWS + 3))
            role = self._roles[blow % len(self._roles)]
            role.kill()
            self._await_results(self._results() + 200)
            self.count += 1
            role.start()

    def _await_results(self, count: int) -> None:
        wait_until(lambda: self._all_ended.is_set() or self._results() >= count, f"{count} results", 60.0)


def read_on(urls: list[str], cursor_file: Path, all_ended: threading.Event) -> set[str]:
    """Follow the feed as a program that ends in the middle of a page, again and again; return the ids it was told."""
    told: set[str] = set()
    while True:
        is_last = all_ended.is_set()
        with Client(urls, patience_s=60.0) as client:
            following = client.follow(cursor_file=cursor_file, wait=False)
            entries = [entry.job_id for entry in (following if is_last else itertools.islice(following, 1700))]
        told.update(entries)
        if is_last:
            return told
        all_ended.wait(READ_EVERY_S)


class Soak:
    """Hands everything in, and counts what comes out."""

    def __init__(self) -> None:
        self.times = bytearray(JOBS)
        self.ids: set[str] = set()
        self.wrong: list[object] = []

    async def run(self, urls: list[str]) -> None:
        async with AsyncClient(urls, patience_s=60.0) as client:
            async for given, result in client.submit_many(map(work, range(JOBS)), window=WINDOW):
                self.times[number_of(given)] += 1
                if result.job_id is None or result.hash != right_hash(given):
                    self.wrong.append((given, result))
                else:
                    self.ids.add(result.job_id)

    def results(self) -> int:
        return len(self.ids)


def test_20_000_jobs_each_have_one_result_while_apis_and_orchestrators_are_killed(
    tmp_path: Path, database: LocalPostgres, tell: Tell
) -> None:
    clock, soak, all_ended = SystemClock(), Soak(), threading.Event()
    with Site(tmp_path, Plan([database.url()] * 2)) as site, ThreadPoolExecutor(2) as threads:
        blows = Blows(site, soak.results, all_ended)
        killing = threads.submit(blows.run)
        reading = threads.submit(read_on, site.api_urls, tmp_path / "cursor", all_ended)
        began = clock.monotonic()
        tracemalloc.start()
        try:
            asyncio.run(soak.run(site.api_urls))
            counted = blows.count
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            all_ended.set()
        wall_s = clock.monotonic() - began
        killing.result()
        told = reading.result()
        with Client(site.api_urls, patience_s=60.0) as client:
            wait_until(lambda: client.stats().succeeded == JOBS, "the cluster has as many jobs as were handed in")
    assert counted == BLOWS, "results came before and after each"
    assert soak.wrong == []
    assert set(soak.times) == {1}, "each exactly once"
    assert told == soak.ids, "a reader with a cursor file was told everything"
    assert_sound(database.url())
    tell(f"{JOBS} jobs in {wall_s:.0f} s, {BLOWS} kills, window {WINDOW}: {peak / 1e6:.1f} MB traced at the peak")
    assert peak / 1e6 < MEMORY_MB_MAX


# --- the command line ------------------------------------------------------------------------------------------------
FILES = 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "buffers"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number:04}").write_bytes(hashlib.shake_256(b"%d" % number).digest(1000))
    return folder


def dynwork(site: Site, data_dir: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dynwork", "submit", *arguments],
        env=child_environment(DYNWORK_URL=",".join(site.api_urls), DYNWORK_DATA_DIR=str(data_dir)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_folder_of_1_000_files_interrupted_and_resumed_ends_with_the_whole_table(
    tmp_path: Path, database: LocalPostgres, folder: Path
) -> None:
    iterations = 300_000  # seconds for all of them, and it is interrupted as soon as one is done
    with Site(tmp_path, Plan([database.url()])) as site, Client(site.api_urls) as client:
        first = dynwork(site, tmp_path, str(folder), "--iterations", str(iterations), "--wait", "--json")
        wait_until(lambda: first.poll() is not None or client.pull(1), "one is done", 60.0)
        first.send_signal(signal.SIGINT)
        out, told = first.communicate(timeout=30)
        assert (first.returncode, out) == (130, ""), told
        run = told.split("dynwork submit --resume ")[1].split()[0]
        resumed = dynwork(site, tmp_path, "--resume", run, "--json")
        out, told = resumed.communicate(timeout=200)
        rows: list[dict[str, Any]] = json.loads(out)
        stats = wait_until(lambda: found if (found := client.stats()).succeeded >= FILES else None, "all is counted")
    assert (resumed.returncode, told) == (0, "")
    assert [row["file"] for row in rows] == sorted(str(file) for file in folder.iterdir())
    some = rows[:: FILES // 10]
    assert [row["hash"] for row in some] == [chain(Path(row["file"]).read_bytes(), iterations) for row in some]
    assert len({row["job_id"] for row in rows}) == stats.succeeded == FILES, "nothing was handed in twice"


# --- every method ----------------------------------------------------------------------------------------------------
def test_every_method_means_on_a_real_cluster_what_it_says(tmp_path: Path) -> None:
    """The API in memory, to which the other tests of the client talk, is held to the real one by this."""
    settings = {"DYNWORK_RETRY_BACKOFF_S": "0.1", "DYNWORK_ATTEMPTS_MAX": "1", **kinds.install(tmp_path / "kinds")}
    with Ensemble(tmp_path / "data", settings) as cluster, Client(cluster.api_urls) as client:
        before = client.position()
        done = client.submit(b"some bytes", 1_000, key="a")
        assert client.result(done) == chain(b"some bytes", 1_000)
        assert client.submit(b"some bytes", 1_000, key="a") == done
        with pytest.raises(errors.KeyReusedError):
            client.submit(b"other bytes", 1_000, key="a")

        other = client.submit(b"x" * 3_000_000, 1_000, kind=kinds.APPEND_STEPS.name)  # too long for a bulk
        assert client.result(other) == kinds.expected(kinds.APPEND_STEPS.name, b"x" * 3_000_000, 1_000)
        small, refused = client.submit_all(
            [Work(b"x", 9, kind=kinds.APPEND_STEPS.name), Work(b"x", 9, kind="unheard-of")]
        )
        assert client.result(small.value()) == kinds.expected(kinds.APPEND_STEPS.name, b"x", 9)
        assert isinstance(refused.error, errors.UnknownKindError)

        long = client.submit(b"long", 10**11)
        with pytest.raises(errors.JobUnfinishedError):
            client.result(long, wait_s=0.1)
        assert client.cancel(long).state == "cancelled"
        with pytest.raises(errors.JobCancelledError):
            client.result(long)
        with pytest.raises(errors.JobFinishedError):
            client.cancel(done)

        dead = client.submit(b"raiser", 10, kind=kinds.RAISER.name)
        with pytest.raises(errors.JobDeadError, match="kind_error"):
            client.result(dead)
        again = client.requeue(dead)
        assert client.requeue(dead) == again
        assert client.job(again, wait_s=30).requeued_from == dead
        with pytest.raises(errors.JobNotDeadError):
            client.requeue(done)
        with pytest.raises(errors.NotFoundError):
            client.job(new_id())

        ended = [done, other, small.value(), long, dead, again]
        assert [result.job_id for result in client.follow(before, wait=False)] == ended
        assert [job.job_id for job in client.jobs()] == sorted(ended, reverse=True)
        assert [job.job_id for job in client.jobs(state="dead", limit=1)] == [again]
        assert [result.job_id for result in client.pull(2)] == [small.value(), other]
        assert [len(client.fleet().workers), client.stats().queued] == [1, 0]
        known = [Work(b"some bytes", 1_000, key="a"), Work(b"new", 2)]
        assert {work: result.value() for work, result in client.submit_many(known)} == {
            known[0]: chain(b"some bytes", 1_000),
            known[1]: chain(b"new", 2),
        }
