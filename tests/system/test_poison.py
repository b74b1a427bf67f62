"""Work that fails, or that kills what computes it, is buried after its attempts; nothing else suffers from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dynwork.testing import kinds
from dynwork.testing.ensemble import Ensemble, metric
from dynwork.testing.ledger import Ledger
from dynwork.testing.orders import Order, hand_in

pytestmark = pytest.mark.system

ATTEMPTS = 5


def test_work_that_kills_its_lane_or_raises_ends_dead_and_the_fleet_lives_on(
    tmp_path: Path, tell: Callable[[str], None]
) -> None:
    killers = [Order(b"killer %d" % number, 100, kinds.KILLER.name, state="dead") for number in range(3)]
    raisers = [Order(b"raiser %d" % number, 100, kinds.RAISER.name, state="dead") for number in range(2)]
    innocents = [Order(b"chain %d" % number, 5_000) for number in range(60)]
    innocents += [Order(b"steps %d" % number, 20_000, kinds.APPEND_STEPS.name) for number in range(12)]
    culprits = iter([*killers, *raisers])
    mixed = [order for innocent in innocents for order in (innocent, next(culprits, None)) if order is not None]
    settings = {"DYNWORK_RETRY_BACKOFF_S": "0.2", "DYNWORK_ATTEMPTS_MAX": str(ATTEMPTS), "DYNWORK_WORKER_SLOTS": "2"}
    with (
        Ensemble(tmp_path / "data", {**settings, **kinds.install(tmp_path / "kinds")}) as cluster,
        Ledger(cluster.api_urls) as ledger,
    ):
        [worker] = cluster.workers
        ids = hand_in(ledger, cluster.api_urls, mixed)
        ledger.await_all()
        jobs = {job_id: ledger.job(job_id) for job_id in ids}
        deaths = metric(worker.url, "dynwork_worker_lane_deaths_total")
        assert worker.alive(), "the worker died with its lanes"

        afterwards = hand_in(ledger, cluster.api_urls, [Order(b"afterwards", 1_000)])
        ledger.await_all()
    codes = {job.kind: (job.error.code if job.error else None) for job in jobs.values()}
    assert codes[kinds.KILLER.name] == "lane_died"
    assert codes[kinds.RAISER.name] == "kind_error"
    for job_id, order in ids.items():
        assert jobs[job_id].attempts == (ATTEMPTS if order.state == "dead" else 0), jobs[job_id]
    assert deaths >= ATTEMPTS * len(killers)
    tell(
        f"{len(killers)} killers and {len(raisers)} raisers dead after {ATTEMPTS} attempts each, {deaths:.0f} lane"
        f" processes died; {len(innocents) + len(afterwards)} others succeeded at their first attempt, same worker"
    )
