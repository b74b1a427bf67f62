"""A worker that stood still past its lease, and past the next lease of its job: what it says later changes nothing.

Workers are started by hand, so that nobody replaces the one that stands still. SIGSTOP reaches the worker's own
process; its lane is another one, which each test lets run on or stops as well.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dynwork.testing import kinds
from dynwork.testing.ensemble import Ensemble, lanes_of, metric
from dynwork.testing.ledger import Ledger
from dynwork.testing.orders import Order, hand_in
from dynwork.testing.processes import LoneRole, pause, resume
from dynwork.testing.waiting import wait_until
from dynwork.wire import JobView

pytestmark = [pytest.mark.system, pytest.mark.alone]

Tell = Callable[[str], None]

SPEED = 50_000
LEASES = {"DYNWORK_HEARTBEAT_S": "1", "DYNWORK_LEASE_S": "3"}


def variables(tmp_path: Path) -> dict[str, str]:
    witness = {kinds.STEPS_FILE: str(tmp_path / "steps"), kinds.STEPS_PER_S: str(SPEED)}
    return {**LEASES, **kinds.install(tmp_path / "kinds"), **witness, "DYNWORK_LOG_LEVEL": "debug"}


def reached(tmp_path: Path) -> int:
    """How far the one chain of a test was ever computed."""
    return max((steps.last for steps in kinds.witnessed(tmp_path / "steps")), default=0)


def holder_and_other(cluster: Ensemble, worker_id: str | None) -> tuple[LoneRole, LoneRole]:
    holder = cluster.worker(worker_id)
    return holder, next(worker for worker in cluster.workers if worker is not holder)


def await_checkpoint(ledger: Ledger, job_id: str) -> JobView:
    wait_until(lambda: ledger.job(job_id).done > 1, "a checkpoint")
    job = ledger.job(job_id)
    assert job.state == "leased", "the job came to its end without a checkpoint"
    return job


def await_next_lease(ledger: Ledger, job_id: str, before: str | None) -> None:
    wait_until(lambda: ledger.job(job_id).worker_id not in (None, before), "the job is leased again")


def told_stale(cluster: Ensemble) -> float:
    return metric(cluster.orchestrator.url, "dynwork_reports_total", verdict="stale")


def test_a_late_result_changes_nothing_and_is_told_stale(tmp_path: Path, tell: Tell) -> None:
    # One slice is most of the chain: the lane comes to its end while the worker stands still, so that the worker's
    # first words afterwards are that the job is done.
    order = Order(b"late result", 6 * SPEED, kinds.APPEND_STEPS.name)
    settings = {**variables(tmp_path), "DYNWORK_WORKER_SLICE_S": "4"}
    with Ensemble(tmp_path / "data", settings, workers=2) as cluster, Ledger(cluster.api_urls) as ledger:
        [job_id] = hand_in(ledger, cluster.api_urls, [order])
        first = await_checkpoint(ledger, job_id)
        stopped, other = holder_and_other(cluster, first.worker_id)
        pause(stopped.pid)
        assert reached(tmp_path) < order.iterations, "too late: the lane had come to the end before its worker stopped"

        await_next_lease(ledger, job_id, first.worker_id)
        wait_until(lambda: reached(tmp_path) == order.iterations, "the lane of the stopped worker comes to the end")
        assert told_stale(cluster) == 0
        resume(stopped.pid)
        wait_until(lambda: told_stale(cluster) == 1, "the late result is told stale")

        after = ledger.job(job_id)
        assert (after.state, after.worker_id != first.worker_id, after.done) == ("leased", True, first.done)
        wait_until(lambda: metric(stopped.url, "dynwork_worker_chains_held") == 0, "the stopped worker lets go")
        assert "stale" in stopped.log.read_text()
        ledger.await_all()
        assert ledger.job(job_id).worker_id != first.worker_id
        assert metric(other.url, "dynwork_worker_reports_total", verdict="accepted") == 1
    twice = sum(kinds.computed_twice(kinds.witnessed(tmp_path / "steps")).values())
    tell(f"1 late result told stale, 1 answer; {twice} of {order.iterations} steps computed twice, by both on purpose")


def test_a_late_checkpoint_changes_nothing(tmp_path: Path, tell: Tell) -> None:
    order = Order(b"late checkpoint", 6 * SPEED, kinds.APPEND_STEPS.name)
    with Ensemble(tmp_path / "data", variables(tmp_path), workers=2) as cluster, Ledger(cluster.api_urls) as ledger:
        [job_id] = hand_in(ledger, cluster.api_urls, [order])
        first = await_checkpoint(ledger, job_id)
        stopped, other = holder_and_other(cluster, first.worker_id)
        wait_until(lambda: reached(tmp_path) > first.done + SPEED // 2, "steps beyond the checkpoint")
        frozen = [stopped.pid, *lanes_of(stopped.pid)]
        for pid in frozen:
            pause(pid)

        await_next_lease(ledger, job_id, first.worker_id)
        pause(other.pid)  # for a moment, far within its lease: what changes now, the late checkpoint has changed
        before = ledger.job(job_id)
        ahead = reached(tmp_path) - before.done
        assert ahead > SPEED // 4, "the stopped worker has nothing to say that is ahead"
        for pid in frozen:
            resume(pid)
        wait_until(lambda: metric(stopped.url, "dynwork_worker_chains_held") == 0, "the stopped worker lets go")
        after = ledger.job(job_id)
        resume(other.pid)

        assert (after.state, after.worker_id, after.done) == ("leased", before.worker_id, before.done)
        ledger.await_all()
        assert ledger.job(job_id).worker_id == before.worker_id
    tell(f"a checkpoint {ahead} steps ahead, of an old epoch, changed nothing; 1 answer")
