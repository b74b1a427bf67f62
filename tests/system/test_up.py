"""``dynwork up`` as real processes: work is done, what dies is started again, stops are clean, starts carry on."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dynwork.testing.cluster import Cluster, Seen, Shape
from dynwork.testing.ledger import Ledger
from dynwork.testing.processes import Daemon, is_ready
from dynwork.testing.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("up")]
SMALL = Shape(max_workers=2)
STOP_S_MAX = 10.0


@contextlib.contextmanager
def ledger_of(cluster: Cluster) -> Iterator[Ledger]:
    ledger = Ledger(cluster.api_urls)
    yield ledger
    ledger.close()


def submit_some(ledger: Ledger, jobs: int, steps: int) -> None:
    draw = random.Random(jobs)
    for _ in range(jobs):
        ledger.submit(draw.randbytes(draw.randint(1, 65536)), draw.randint(1, steps))


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_jobs_are_answered_rightly_while_each_role_is_killed_and_started_again(tmp_path: Path) -> None:
    with Cluster(tmp_path, SMALL) as cluster, ledger_of(cluster) as ledger:
        submit_some(ledger, 20, 200_000)
        for role in ("worker", "api", "orchestrator"):
            victim = cluster.kill(role)
            cluster.await_replaced(victim)
            submit_some(ledger, 5, 2000)
        ledger.await_all()
        assert {seen.role for seen in cluster.roles()} == {"api", "orchestrator", "worker"}


def test_two_orchestrators_over_a_server_of_their_own_outlive_its_death_and_carry_on_after_a_stop(
    tmp_path: Path,
) -> None:
    shape = Shape(max_workers=2, orchestrators=2, store="postgres")
    with Cluster(tmp_path, shape) as cluster, ledger_of(cluster) as ledger:
        submit_some(ledger, 20, 200_000)
        for role in ("postgres", "orchestrator", "postgres"):
            victim = cluster.kill(role)
            wait_until(lambda: victim not in cluster.roles(role), "it is seen to be gone")  # noqa: B023
            submit_some(ledger, 5, 2000)
        ledger.await_all()
        before = cluster.roles()
        assert [seen.role for seen in before].count("orchestrator") == 2
        assert cluster.stop(STOP_S_MAX) == 0
        wait_until(lambda: all(gone(seen.pid) for seen in before), "every process has ended")
        cluster.start()
        ledger.submit(b"more", 100)
        ledger.await_all()


def test_a_stop_is_prompt_with_parked_polls_and_the_next_start_carries_on(tmp_path: Path) -> None:
    with Cluster(tmp_path, SMALL) as cluster, ledger_of(cluster) as ledger:
        ledger.submit(b"a", 100)
        ledger.await_all()  # from now on the workers' asks are parked
        assert cluster.stop(STOP_S_MAX) == 0
        assert not (tmp_path / "cluster.json").exists()
        cluster.start()
        ledger.submit(b"b", 4 * 10**6)  # more than is done by the stop
        before = cluster.roles()
        assert cluster.stop(STOP_S_MAX) == 0
        wait_until(lambda: all(gone(seen.pid) for seen in before), "every process has ended")
        assert ledger.open
        cluster.start()
        ledger.await_all()


def test_a_killed_supervisor_takes_its_roles_along_and_the_next_one_finds_the_workers_again(tmp_path: Path) -> None:
    with Cluster(tmp_path, SMALL) as cluster, ledger_of(cluster) as ledger:
        workers = [seen.pid for seen in cluster.roles("worker")]
        roles = cluster.roles("api") + cluster.roles("orchestrator")
        ledger.submit(b"c", 10**6)
        cluster.up.kill()
        wait_until(lambda: all(gone(seen.pid) for seen in roles), "the roles have ended by themselves")
        assert not any(map(gone, workers))
        cluster.start()
        assert set(workers) <= {seen.pid for seen in cluster.roles("worker")}
        ledger.await_all()


def test_a_disk_that_takes_no_files_ends_nothing_and_cluster_json_follows_when_it_does(tmp_path: Path) -> None:
    with Cluster(tmp_path, SMALL) as cluster, ledger_of(cluster) as ledger:
        in_the_way = tmp_path / "cluster.draft"
        in_the_way.mkdir()
        victim = cluster.kill("api")
        wait_until(lambda: "could not be written" in cluster.up.log.read_text(), "the supervisor says so")
        wait_until(lambda: is_ready(victim.url), "the role is started again")
        in_the_way.rmdir()
        cluster.await_replaced(victim)
        ledger.submit(b"d", 1000)
        ledger.await_all()


def test_after_a_kill_a_start_on_other_ports_ends_the_workers_that_would_never_find_it(tmp_path: Path) -> None:
    with Cluster(tmp_path, SMALL) as cluster, ledger_of(cluster) as ledger:
        workers = [seen.pid for seen in cluster.roles("worker")]
        unfinished = ledger.submit(b"d", 10**6)
        cluster.up.kill()
        with Cluster(tmp_path, SMALL) as moved, Ledger(moved.api_urls) as there:
            assert all(map(gone, workers))
            assert not set(workers) & {seen.pid for seen in moved.roles("worker")}
            there.note(unfinished, "succeeded", None)
            there.submit(b"e", 100)
            there.await_all()


def test_cluster_json_names_every_process_and_where_it_answers(tmp_path: Path) -> None:
    with Cluster(tmp_path, SMALL):
        entries = json.loads((tmp_path / "cluster.json").read_text())
        assert sorted(entry["role"] for entry in entries) == ["api", "api", "orchestrator", "worker"]
        for entry in entries:
            seen = Seen(**entry)
            assert is_ready(seen.url)
            assert f"dynwork.{seen.role}" in psutil.Process(seen.pid).cmdline()


def test_a_second_supervisor_on_the_same_directory_is_refused_with_one_line(tmp_path: Path) -> None:
    with Cluster(tmp_path, SMALL) as cluster:
        second = Daemon(["dynwork", "up", "--data-dir", str(tmp_path), "--api-port", "1024"], tmp_path / "second.log")
        second.start()
        assert second.exit_code() == 2
        (line,) = second.log.read_text().splitlines()
        assert line.startswith(f"dynwork: another dynwork up (pid {cluster.up.pid}) runs on {tmp_path}")
        assert all(is_ready(seen.url) for seen in cluster.roles())


def test_what_cannot_be_run_is_refused_with_one_line(tmp_path: Path) -> None:
    up = Daemon(["dynwork", "up", "--data-dir", str(tmp_path), "--orchestrators", "2"], tmp_path / "up.log")
    up.start()
    assert up.exit_code() == 2
    (line,) = up.log.read_text().splitlines()
    assert "SQLite" in line
