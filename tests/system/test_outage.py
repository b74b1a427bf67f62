"""Orchestrators, APIs and the supervisor itself die or fall silent while jobs stream in: nothing promised is lost.

The chains of the test kind write down every step, so that it can be seen that workers went on computing meanwhile and
that not one step was computed twice: no lease was lost by the outage.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from dynwork.clock import SystemClock
from dynwork.testing import kinds
from dynwork.testing.cluster import Cluster, Shape
from dynwork.testing.ensemble import Ensemble, metric
from dynwork.testing.ledger import Ledger
from dynwork.testing.orders import Order, Stream, hand_in
from dynwork.testing.processes import kill, pause, resume
from dynwork.testing.waiting import wait_until
from dynwork.wire import Fleet

pytestmark = [pytest.mark.system, pytest.mark.alone]

Tell = Callable[[str], None]

LONGER = int(os.environ.get("DYNWORK_TEST_LONGER", "1"))
"""How many times as long to go on: ``make chaos`` says."""
SPEED = 20_000
"""Steps that a chain of the test kind makes in a second."""
AWAY_S = 30.0
LATE_S = 4.0
LOOK_S = 0.1


def long_orders(count: int, seconds: float) -> list[Order]:
    return [Order(b"long %d" % number, int(seconds * SPEED), kinds.APPEND_STEPS.name) for number in range(count)]


def short_orders(count: int) -> list[Order]:
    return [Order(b"short %d" % number, 1 + number % 400 * 20) for number in range(count)]


def settings(folder: Path, **more: str) -> dict[str, str]:
    witness = {kinds.STEPS_FILE: str(folder / "steps"), kinds.STEPS_PER_S: str(SPEED)}
    return {**kinds.install(folder / "kinds"), **witness, **more}


def brisk(folder: Path) -> Shape:
    """Two workers with two lanes each, and leases no longer than a restart takes."""
    leases = {"DYNWORK_HEARTBEAT_S": "0.5", "DYNWORK_LEASE_S": "2"}
    lanes = {"DYNWORK_WORKER_SLOTS": "2", "DYNWORK_PREFETCH_S": "0.1"}  # every long chain begins at once
    return Shape(min_workers=2, max_workers=2, variables=settings(folder, **leases, **lanes))


def await_checkpoint(ledger: Ledger, job_id: str) -> None:
    wait_until(lambda: ledger.job(job_id).done > 1, "a checkpoint", every_s=LOOK_S)


def let_pass(seconds: float) -> None:
    clock = SystemClock()
    until = clock.monotonic() + seconds
    wait_until(lambda: clock.monotonic() >= until, f"{seconds} s have passed", seconds + 5, LOOK_S)


def steps_made(folder: Path) -> int:
    return sum(one.last - one.first for one in kinds.witnessed(folder / "steps"))


def assert_nothing_twice(folder: Path, orders: Iterable[Order]) -> None:
    """Every step of every chain was computed, and none of them twice."""
    twice = kinds.computed_twice(kinds.witnessed(folder / "steps"))
    assert twice == {hashlib.sha512(order.buffer).hexdigest(): 0 for order in orders}
    assert steps_made(folder) == sum(order.iterations - 1 for order in orders)


def worker_pids(cluster: Cluster) -> set[int | None]:
    return {worker.pid for worker in Fleet.model_validate(cluster.fleet()).workers if worker.state != "lost"}


def worker_processes(data_dir: Path) -> set[int]:
    """Every worker of this data directory that the system knows."""
    return {
        process.pid
        for process in psutil.process_iter(["cmdline", "environ"])
        if (process.info["cmdline"] or [])[-1:] == ["dynwork.worker"]
        and (process.info["environ"] or {}).get("DYNWORK_DATA_DIR") == str(data_dir)
    }


@pytest.mark.timeout(120 * LONGER)
def test_an_orchestrator_killed_again_and_again_loses_nothing_it_acknowledged(tmp_path: Path, tell: Tell) -> None:
    kills, progress = 3 * LONGER, []
    long = long_orders(3, seconds=6 * kills)
    with Cluster(tmp_path / "data", brisk(tmp_path)) as cluster, Ledger(cluster.api_urls) as ledger:
        ids = hand_in(ledger, cluster.api_urls, long)
        for job_id in ids:
            await_checkpoint(ledger, job_id)
        workers = {job_id: ledger.job(job_id).worker_id for job_id in ids}
        with Stream(cluster.api_urls, short_orders((kills + 1) * 80)) as stream:
            for number in range(1, kills + 1):
                stream.await_acknowledged(number * 80)
                before = steps_made(tmp_path)
                cluster.await_replaced(cluster.kill("orchestrator"))
                progress.append(steps_made(tmp_path) - before)
        stream.note(ledger)
        stream.assert_repeats_are_harmless()
        ledger.await_all(120 * LONGER)
        jobs = {job_id: ledger.job(job_id) for job_id in ids}
        [orchestrator] = cluster.roles("orchestrator")
        assert metric(orchestrator.url, "dynwork_leases_expired_total") == 0

    assert_nothing_twice(tmp_path, long)
    assert {job_id: job.worker_id for job_id, job in jobs.items()} == workers
    assert progress[0], "no chain advanced while the orchestrator was away"
    tell(
        f"{kills} kills, {len(ledger.entries)} jobs acknowledged and answered once, {len(stream.repeated)} of them"
        f" repeated under the same key; {min(progress)} to {max(progress)} steps made during an outage, 0 twice"
    )


@pytest.mark.timeout(180)
def test_nothing_computed_is_thrown_away_while_an_orchestrator_is_away_for_30_s(tmp_path: Path, tell: Tell) -> None:
    with ThreadPoolExecutor() as both:  # two clusters at once, to save time
        dead = both.submit(compute_through_an_outage, tmp_path / "dead", dead=True)
        frozen = both.submit(compute_through_an_outage, tmp_path / "frozen", dead=False)
    tell(
        f"{dead.result()} steps made while it was dead, {frozen.result()} while it stood still, 0 twice;"
        " every job right, no lease lost"
    )


def compute_through_an_outage(folder: Path, dead: bool) -> int:
    """Return the steps that two workers made in an outage of 30 s, after which one of them is late to be heard again.

    By then the other is idle and asks for work: it would take the late one's chain if its lease were given up.
    """
    short = [Order(b"%d" % number, int(5.5 * SPEED), kinds.APPEND_STEPS.name) for number in range(4)]
    orders = [*long_orders(1, seconds=38), *short]
    with Ensemble(folder / "data", settings(folder), workers=2) as cluster, Ledger(cluster.api_urls) as ledger:
        ids = hand_in(ledger, cluster.api_urls, orders)
        long = next(iter(ids))
        await_checkpoint(ledger, long)
        holder_id = ledger.job(long).worker_id
        holder = cluster.worker(holder_id)
        before = steps_made(folder)
        cluster.orchestrator.kill() if dead else pause(cluster.orchestrator.pid)
        let_pass(AWAY_S)
        progress = steps_made(folder) - before

        pause(holder.pid)
        cluster.orchestrator.start() if dead else resume(cluster.orchestrator.pid)
        let_pass(LATE_S)
        resume(holder.pid)
        ledger.await_all()
        assert ledger.job(long).worker_id == holder_id
        assert metric(cluster.orchestrator.url, "dynwork_leases_expired_total") == 0
    assert_nothing_twice(folder, orders)
    assert progress
    return progress


def test_an_api_killed_under_load_loses_nothing_it_acknowledged(tmp_path: Path, tell: Tell) -> None:
    shape = Shape(min_workers=1, max_workers=1)
    with Cluster(tmp_path, shape) as cluster, Ledger(cluster.api_urls) as ledger:
        with Stream(cluster.api_urls, short_orders(400)) as stream:
            for index in (0, 1):
                stream.await_acknowledged(100 + 150 * index)
                [victim] = [api for api in cluster.roles("api") if api.url == cluster.api_urls[index]]
                kill(victim.pid)
                cluster.await_replaced(victim)
        stream.note(ledger)
        stream.assert_repeats_are_harmless()
        ledger.await_all()
    tell(f"2 kills, 400 jobs acknowledged and answered once, {len(stream.repeated)} repeated under the same key")


def test_a_killed_supervisor_started_again_finds_its_workers_and_loses_nothing(tmp_path: Path, tell: Tell) -> None:
    long = long_orders(3, seconds=12)
    data_dir = tmp_path / "data"
    with Cluster(data_dir, brisk(tmp_path)) as cluster, Ledger(cluster.api_urls) as ledger:
        ids = hand_in(ledger, cluster.api_urls, long)
        for job_id in ids:
            await_checkpoint(ledger, job_id)
        pids = worker_processes(data_dir)  # not /fleet, whose look may be older than the workers
        with Stream(cluster.api_urls, short_orders(200)) as stream:
            stream.await_acknowledged(100)
            before = steps_made(tmp_path)
            cluster.up.kill()
            cluster.start()
            progress = steps_made(tmp_path) - before
        stream.note(ledger)
        stream.assert_repeats_are_harmless()
        ledger.await_all()
        # What is shown was seen up to a second ago: the two are compared until they agree, then with before.
        wait_until(lambda: worker_pids(cluster) == worker_processes(data_dir), "the fleet shown is the fleet there is")
        assert worker_processes(data_dir) == pids, cluster.up.log.read_text()
        assert cluster.stop() == 0
        assert not worker_processes(data_dir)

    assert_nothing_twice(tmp_path, long)
    assert progress
    tell(
        f"{len(ledger.entries)} jobs acknowledged and answered once, {len(stream.repeated)} repeated under the same"
        f" key; the same {len(pids)} workers made {progress} steps meanwhile, 0 twice"
    )
