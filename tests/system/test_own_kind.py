"""The example of a kind of one's own, installed as a user would install it, through a whole cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import dynwork_sloth
from dynwork.testing.cluster import Cluster, Shape
from dynwork.testing.ensemble import Ensemble, metric
from dynwork.testing.hunt import Hunt
from dynwork.testing.ledger import Ledger
from dynwork.testing.processes import LoneRole
from dynwork.testing.waiting import wait_until

pytestmark = pytest.mark.system

EXAMPLE = Path(__file__).parents[2] / "examples" / "sloth"
SLOTH = dynwork_sloth.KIND.name
LOOK_S = 0.05
Variables = dict[str, str]


@pytest.fixture
def with_the_kind(tmp_path: Path) -> Variables:
    """Install the example into a folder of its own; return the variables of processes that are to find it there."""
    source, installed = tmp_path / "source", tmp_path / "installed"
    shutil.copytree(EXAMPLE, source)  # a build leaves files where it was made
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(installed)]
    subprocess.run([*pip, *options, str(source)], check=True, timeout=60)
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH")]))}


def draw(ledger: Ledger, steps: int, count: int) -> dict[str, bytes]:
    """Submit so many draws through the public API; return their buffers by id."""
    buffers = [b"the tickets of draw %d, %d steps" % (number, steps) for number in range(count)]
    return {ledger.submit_as(buffer, steps, "succeeded", None, kind=SLOTH): buffer for buffer in buffers}


def assert_right(ledger: Ledger, draws: dict[str, bytes]) -> None:
    """Check each result as anybody could: by walking it back."""
    for job_id, buffer in draws.items():
        job = ledger.job(job_id)
        assert dynwork_sloth.is_right(buffer, job.iterations, bytes.fromhex(job.hash or "")), job


def test_a_kind_of_ones_own_survives_its_workers_being_killed(tmp_path: Path, with_the_kind: Variables) -> None:
    fast_leases = {"DYNWORK_HEARTBEAT_S": "0.5", "DYNWORK_LEASE_S": "2", "DYNWORK_WORKER_SLOTS": "1"}
    shape = Shape(min_workers=2, max_workers=2, variables={**with_the_kind, **fast_leases})
    with Cluster(tmp_path / "data", shape) as cluster, Ledger(cluster.api_urls) as ledger:
        draws = draw(ledger, 3000, count=3)
        hunt = Hunt(cluster, ledger, list(draws), phases_s=[0.2])

        def over() -> bool:
            hunt.look(kills_max=2)
            ledger.follow()
            return not ledger.open

        wait_until(over, "an answer for every draw", 90, LOOK_S)
        ledger.check()
        assert len(hunt.kills) == 2
        assert_right(ledger, draws)
        assert all(ledger.job(job_id).attempts == 0 for job_id in draws), "a lost worker is not the work's fault"


def test_a_worker_without_a_kind_is_never_given_it(tmp_path: Path, with_the_kind: Variables) -> None:
    with (
        Ensemble(tmp_path / "data", with_the_kind, workers=0) as cluster,
        Ledger(cluster.api_urls) as ledger,
    ):
        found = {"DYNWORK_ORCHESTRATOR_URLS": cluster.orchestrator.url, "DYNWORK_WORKER_SLOTS": "1"}
        with LoneRole("worker", tmp_path / "data", **found) as plain:
            draws = draw(ledger, 100, count=3)
            for number in range(3):
                ledger.submit(b"a chain behind the draws %d" % number, 1000)

            def chains_done() -> bool:
                ledger.follow()
                return set(ledger.open) == set(draws)

            wait_until(chains_done, "the chains are done")
            assert {ledger.job(job_id).state for job_id in draws} == {"queued"}

            with LoneRole("worker", tmp_path / "data", **found, **with_the_kind) as knowing:
                ledger.await_all()
                draws |= draw(ledger, 200, count=3)  # both are hungry now
                ledger.await_all()
                assert metric(knowing.url, "dynwork_worker_slices_total", kind=SLOTH) >= len(draws)
                assert metric(plain.url, "dynwork_worker_slices_total", kind=SLOTH) == 0
        assert_right(ledger, draws)
        assert all(ledger.job(job_id).attempts == 0 for job_id in draws), "nobody was given what it does not know"


def test_a_kind_that_no_api_knows_is_refused_with_the_known_ones(tmp_path: Path, with_the_kind: Variables) -> None:
    with Ensemble(tmp_path / "data", with_the_kind, workers=0) as cluster:
        answer = httpx.put(f"{cluster.api.url}/enqueue?iterations=1&kind=slot", content=b"x", trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_kind")
    assert answer.json()["detail"] == "there is no kind 'slot' here; known: sha512-chain, sloth"
