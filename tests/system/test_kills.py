"""Workers killed with -9 in the middle of their jobs: every job is answered once, and little is computed twice."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from dynwork.testing import kinds
from dynwork.testing.cluster import Cluster, Shape
from dynwork.testing.feed import Apis, Feed
from dynwork.testing.hunt import Hunt
from dynwork.testing.ledger import Ledger
from dynwork.testing.orders import Order, hand_in
from dynwork.testing.waiting import wait_until

pytestmark = pytest.mark.system

Tell = Callable[[str], None]

LONGER = int(os.environ.get("DYNWORK_TEST_LONGER", "1"))
"""How many times as long to go on: ``make chaos`` says."""
SPEED = 100_000
"""Steps that a chain of the test kind makes in a second."""
BURST = SPEED // 100
SLICE_S = 0.05
LOOK_S = 0.05
RE_LEASE_S_MAX = 15.0
STORES = {"sqlite": Shape(), "postgres": Shape(orchestrators=2, store="postgres")}
AT_LENGTH = ["postgres"] if LONGER == 1 else list(STORES)
"""What the long hunt is over: the file, too, in ``make chaos``."""


def long_orders(count: int, seconds: float) -> list[Order]:
    return [Order(b"long %d" % number, int(seconds * SPEED), kinds.APPEND_STEPS.name) for number in range(count)]


def settings(tmp_path: Path, heartbeat_s: float, lease_s: float, *, shortcut: bool) -> dict[str, str]:
    return {
        **kinds.install(tmp_path / "kinds"),
        kinds.STEPS_FILE: str(tmp_path / "steps"),
        kinds.STEPS_PER_S: str(SPEED),
        "DYNWORK_HEARTBEAT_S": str(heartbeat_s),
        "DYNWORK_LEASE_S": str(lease_s),
        "DYNWORK_PREFETCH_S": "0.1",  # long jobs are spread over all workers from the start
        "DYNWORK_WORKER_GONE_SHORTCUT": str(shortcut).lower(),
        "DYNWORK_WORKER_SLOTS": "1",
        "DYNWORK_WORKER_SLICE_S": str(SLICE_S),
    }


def computed_twice(tmp_path: Path, jobs: Mapping[str, Order]) -> dict[str, int]:
    """Return for each job how many of its steps were computed more than once; see that it was computed whole."""
    steps = kinds.witnessed(tmp_path / "steps")
    twice = kinds.computed_twice(steps)
    made = {(one.start, one.last) for one in steps}
    starts = {job_id: hashlib.sha512(order.buffer).hexdigest() for job_id, order in jobs.items()}
    assert all((starts[job_id], order.iterations) in made for job_id, order in jobs.items())
    return {job_id: twice[start] for job_id, start in starts.items()}


def worth(heartbeat_s: float) -> int:
    """The steps that one kill may cost: since the last checkpoint, in the slice under way, in the burst under way."""
    return int((heartbeat_s + SLICE_S) * SPEED) + BURST


def assert_two_readers_saw_the_same(cluster: Cluster, ledger: Ledger) -> None:
    """One followed the feed all the while; the other reads it now, at the other API, in small pages."""
    with Apis(cluster.api_urls[::-1]) as apis:
        reader = Feed(apis, page=7)
        reader.follow()
        assert reader.seen == ledger.feed.seen
    ids = [entry.job_id for entry in reader.seen]
    assert len(ids) == len(set(ids)) == len(ledger.entries)


@pytest.mark.alone
@pytest.mark.timeout(240 * LONGER)
@pytest.mark.parametrize("store", AT_LENGTH)
def test_300_jobs_survive_20_workers_killed_in_the_middle_of_theirs(tmp_path: Path, tell: Tell, store: str) -> None:
    heartbeat_s = 1.0
    long = long_orders(20 * LONGER, seconds=4)
    short = [Order(b"short %d" % number, 1 + number % 280 * 100) for number in range(280 * LONGER)]
    mixed = [order for index, order in enumerate(long) for order in (order, *short[index :: len(long)])]
    variables = settings(tmp_path, heartbeat_s, 3, shortcut=True)
    shape = replace(STORES[store], min_workers=4, max_workers=4, variables=variables)
    with Cluster(tmp_path / "data", shape) as cluster, Ledger(cluster.api_urls) as ledger:
        ids = hand_in(ledger, cluster.api_urls, mixed)
        hunted = [job_id for job_id, order in ids.items() if order.kind == kinds.APPEND_STEPS.name]
        hunt = Hunt(cluster, ledger, hunted, phases_s=[0.0, 0.15, 0.3, 0.45, 0.6])

        def over() -> bool:
            hunt.look(kills_max=22 * LONGER)
            ledger.follow()
            return not ledger.open

        wait_until(over, "an answer for every job", 180 * LONGER, LOOK_S)
        ledger.check()
        assert_two_readers_saw_the_same(cluster, ledger)

    assert len(ids) == 300 * LONGER
    assert len(hunt.kills) >= 20 * LONGER
    kills = Counter(kill.job_id for kill in hunt.kills)
    twice = computed_twice(tmp_path, {job_id: ids[job_id] for job_id in hunted})
    percents = [kill.percent for kill in hunt.kills]
    most = max(twice[job_id] / count for job_id, count in kills.items())
    tell(
        f"{len(percents)} workers killed at {min(percents):.0f} to {max(percents):.0f} %, all {len(ids)} jobs right;"
        f" steps computed twice a kill: {sum(twice.values()) / len(percents):.0f} on average, {most:.0f} at most,"
        f" a heartbeat's worth is {worth(heartbeat_s)}"
    )
    for job_id in hunted:
        assert twice[job_id] <= kills[job_id] * worth(heartbeat_s)


@pytest.mark.parametrize("shortcut", [False, True], ids=["by its lease", "by the supervisor's shortcut"])
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_a_killed_workers_job_is_leased_again_within_15_s(
    tmp_path: Path, tell: Tell, store: str, shortcut: bool
) -> None:
    variables = settings(tmp_path, heartbeat_s=3, lease_s=9, shortcut=shortcut)  # as they are by default
    shape = replace(STORES[store], apis=1, min_workers=2, max_workers=2, variables=variables)
    with Cluster(tmp_path / "data", shape) as cluster, Ledger(cluster.api_urls) as ledger:
        ids = hand_in(ledger, cluster.api_urls, long_orders(1, seconds=8))
        hunt = Hunt(cluster, ledger, list(ids), phases_s=[0.5])

        def over() -> bool:
            hunt.look(kills_max=1)
            return bool(hunt.kills) and hunt.settled

        wait_until(over, "the job is leased again", 60, LOOK_S)
        ledger.await_all()
    [kill], [twice] = hunt.kills, computed_twice(tmp_path, ids).values()
    tell(f"{kill.leased_again_s:.2f} s from the kill to the next lease, {twice} steps computed twice")
    assert kill.leased_again_s <= RE_LEASE_S_MAX
    assert twice <= worth(3)
