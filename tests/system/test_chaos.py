"""Several orchestrators over one PostgreSQL under load, and what dies or falls silent among them: nothing is lost.

The load is a :class:`~dynwork.testing.chaos.crowd.Crowd` through two APIs. After each blow and its end every
acknowledged id has exactly one right result, two readers of the feed saw each exactly once, ``dynwork check-store``
has nothing to say and nobody was deadlocked. Long chains of the test kind write down each step, so that steps computed
twice are counted.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from dynwork.clock import SystemClock
from dynwork.testing import kinds
from dynwork.testing.chaos.crowd import Crowd
from dynwork.testing.chaos.flood import Flood
from dynwork.testing.chaos.proxy import TcpProxy
from dynwork.testing.chaos.replicas import Replicas
from dynwork.testing.chaos.site import Plan, Site, assert_sound
from dynwork.testing.orders import Order
from dynwork.testing.processes import is_ready, pause, resume
from dynwork.testing.waiting import wait_until
from dynwork.up.postgres import LocalPostgres

Tell = Callable[[str], None]

LONGER = int(os.environ.get("DYNWORK_TEST_LONGER", "1"))
"""How many times as long to go on: ``make chaos`` says."""
pytestmark = [pytest.mark.system, pytest.mark.alone, pytest.mark.timeout(240 * LONGER)]
SPEED = 20_000
"""Steps that a chain of the test kind makes in a second."""
AFTER = 50
"""Jobs that must be acknowledged before and after each blow."""
GAP_S_MAX = 2.0
BACK_S_MAX = 15.0
LEADER_S_MAX = 10.0
LEADERSHIP_S = 6.0
FULL_S = 20.0 if LONGER == 1 else 60.0 * LONGER
"""How long full load goes on, seconds: ten minutes with ``make chaos``."""


def now() -> float:
    return SystemClock().monotonic()


def let_pass(seconds: float) -> None:
    until = now() + seconds
    wait_until(lambda: now() >= until, f"{seconds} s have passed", seconds + 5)


def long_orders(count: int, seconds: float) -> list[Order]:
    return [Order(b"long %d" % number, int(seconds * SPEED), kinds.APPEND_STEPS.name) for number in range(count)]


def witnessed(folder: Path) -> dict[str, str]:
    """Settings under which the test kind writes down its steps."""
    steps = {kinds.STEPS_FILE: str(folder / "steps"), kinds.STEPS_PER_S: str(SPEED)}
    return {**kinds.install(folder / "kinds"), **steps, "DYNWORK_PREFETCH_S": "0.1"}


def computed_twice(folder: Path, orders: Iterable[Order]) -> int:
    twice = kinds.computed_twice(kinds.witnessed(folder / "steps"))
    assert set(twice) == {hashlib.sha512(order.buffer).hexdigest() for order in orders}
    return sum(twice.values())


def longest_gap_s(crowd: Crowd, since: float) -> float:
    return max(client.longest_gap_s(since) for client in crowd.impatient)


def served_again_s(crowd: Crowd, since: float) -> float:
    """How long after ``since`` the last of the clients that do not retry was served, seconds."""
    return max((client.next_after(since) or float("inf")) - since for client in crowd.impatient)


def test_each_orchestrator_killed_in_turn_leaves_no_gap_and_no_job_behind(
    tmp_path: Path, database: LocalPostgres, tell: Tell
) -> None:
    rounds = 2 * LONGER
    long = long_orders(2, seconds=8.0 * rounds)
    plan = Plan([database.url()] * 2, variables=witnessed(tmp_path))
    gaps, led = [], []
    with Site(tmp_path, plan) as site, Crowd(site.api_urls) as crowd:
        crowd.hand_in(long)
        for _ in range(rounds):
            crowd.go_on(AFTER)
            victim, at = site.leader(), now()
            victim.kill()
            crowd.go_on(AFTER)
            gaps.append(longest_gap_s(crowd, at))
            assert site.leader() is not victim
            led.append(now() - at)
            victim.start()
            crowd.go_on(AFTER)
        jobs = crowd.settle()
        assert site.leases_expired() == 0
    assert_sound(database.url())
    tell(
        f"{rounds} leaders killed, {jobs} jobs right; longest gap between 202s {max(gaps):.2f} s, another leader after"
        f" {max(led):.1f} s, {computed_twice(tmp_path, long)} steps twice"
    )
    assert max(gaps) <= GAP_S_MAX
    assert max(led) <= LEADER_S_MAX


def test_an_api_killed_takes_nothing_with_it_that_it_acknowledged(
    tmp_path: Path, database: LocalPostgres, tell: Tell
) -> None:
    with Site(tmp_path, Plan([database.url()] * 2)) as site, Crowd(site.api_urls) as crowd:
        for api in site.apis * LONGER:
            crowd.go_on(AFTER)
            api.kill()
            crowd.stream.await_more(AFTER)  # at the other
            api.start()
            crowd.go_on(AFTER)
        jobs = crowd.settle()
    assert_sound(database.url())
    tell(f"{2 * LONGER} APIs killed, {jobs} jobs right")


def test_a_primary_killed_takes_nothing_with_it_and_its_promoted_standby_is_found(tmp_path: Path, tell: Tell) -> None:
    long = long_orders(2, seconds=20)
    with Replicas(tmp_path / "postgres") as replicas:
        plan = Plan([replicas.url()] * 2, variables=witnessed(tmp_path))
        with Site(tmp_path, plan) as site, Crowd(site.api_urls) as crowd:
            crowd.hand_in(long)
            crowd.go_on(4 * AFTER)
            replicas.primary.kill()
            killed = now()
            let_pass(2)  # until somebody, or something, sees that it is gone
            replicas.promote()
            promoted = now()
            crowd.go_on(AFTER)
            back_s = served_again_s(crowd, promoted)
            jobs = crowd.settle()
            assert site.leases_expired() == 0
        assert_sound(replicas.url())
    tell(
        f"the standby was promoted {promoted - killed:.1f} s after the primary's death and served {back_s:.1f} s later;"
        f" {jobs} jobs right, {computed_twice(tmp_path, long)} steps twice"
    )
    assert back_s <= BACK_S_MAX


def test_a_leader_stopped_for_longer_than_its_leadership_expires_nothing_when_it_wakes(
    tmp_path: Path, database: LocalPostgres, tell: Tell
) -> None:
    long = long_orders(2, seconds=25)
    plan = Plan([database.url()] * 2, variables=witnessed(tmp_path))
    with Site(tmp_path, plan) as site, Crowd(site.api_urls) as crowd:
        crowd.hand_in(long)
        crowd.go_on(AFTER)
        stopped, at = site.leader(), now()
        pause(stopped.pid)
        crowd.go_on(AFTER)
        assert site.leader() is not stopped
        led_s = now() - at
        let_pass(LEADERSHIP_S)
        resume(stopped.pid)
        crowd.go_on(AFTER)
        gap_s = longest_gap_s(crowd, at)
        stopped.await_ready()
        jobs = crowd.settle()
        assert site.leases_expired() == 0
        assert site.leader() is not stopped
    assert_sound(database.url())
    tell(
        f"another leader after {led_s:.1f} s, longest gap between 202s {gap_s:.1f} s, {jobs} jobs right,"
        f" {computed_twice(tmp_path, long)} steps twice"
    )


@pytest.mark.parametrize("how", ["cut", "silence"])
def test_an_orchestrator_cut_off_from_the_database_leaves_the_work_to_the_other_and_comes_back(
    tmp_path: Path, database: LocalPostgres, tell: Tell, how: str
) -> None:
    with TcpProxy(database.options.port) as wire:
        reached = database.url().replace(f":{database.options.port}/", f":{wire.port}/")
        with Site(tmp_path, Plan([reached, database.url()])) as site, Crowd(site.api_urls) as crowd:
            cut_off, _ = site.orchestrators
            crowd.go_on(AFTER)
            getattr(wire, how)()
            at = now()
            crowd.go_on(AFTER)
            gap_s = longest_gap_s(crowd, at)
            wait_until(lambda: not is_ready(cut_off.url), "it says that it cannot serve")
            assert site.leader() is not cut_off
            let_pass(LEADERSHIP_S)
            wire.restore()
            at = now()
            cut_off.await_ready()
            ready_s = now() - at
            crowd.go_on(AFTER)
            jobs = crowd.settle()
    assert_sound(database.url())
    tell(f"longest gap between 202s {gap_s:.1f} s, ready {ready_s:.1f} s after it was restored, {jobs} jobs right")


def test_an_answer_that_is_lost_after_its_request_took_effect_changes_nothing(
    tmp_path: Path, database: LocalPostgres, tell: Tell
) -> None:
    with Site(tmp_path, Plan([database.url()] * 2, fronted=True)) as site, Crowd(site.api_urls) as crowd:
        for _ in range(3 * LONGER):
            for path in ("/internal/submit", "/internal/lease", "/internal/report", "/internal/heartbeat"):
                before = sum(front.lost for front in site.fronts)
                for front in site.fronts:
                    front.lose_reply(path)
                crowd.go_on(AFTER // 2)
                wait_until(lambda: sum(front.lost for front in site.fronts) > before, f"an answer to {path} is lost")  # noqa: B023
        jobs = crowd.settle()
    assert_sound(database.url())
    tell(f"{sum(front.lost for front in site.fronts)} answers lost, {jobs} jobs right, none twice")


def test_two_orchestrators_under_full_load_never_lock_each_other_out(
    tmp_path: Path, database: LocalPostgres, tell: Tell
) -> None:
    with Site(tmp_path, Plan([database.url()] * 2)) as site, Crowd(site.api_urls, page=500) as crowd:
        with Flood(site.api_urls) as flood:
            let_pass(FULL_S)
        flood.note(crowd.ledger)
        jobs = crowd.settle()
    assert_sound(database.url())
    tell(f"{len(flood.acknowledged) / FULL_S:.0f} jobs a second, {jobs} jobs right, no deadlock")
