"""When nothing may expire."""

from dynwork.orchestrator.core.leasing import LeasePolicy
from dynwork.orchestrator.grace import Grace
from dynwork.testing.orchestrator import StallClock

LEASE_S = 9.0


def begun() -> tuple[StallClock, Grace]:
    clock = StallClock()
    return clock, Grace(clock, LeasePolicy(lease_s=LEASE_S))


def past_the_start() -> tuple[StallClock, Grace]:
    clock, grace = begun()
    clock.stall(LEASE_S)
    grace.look(LEASE_S)
    return clock, grace


def test_a_start_is_followed_by_one_lease_time() -> None:
    clock, grace = begun()
    clock.stall(LEASE_S - 0.1)
    assert grace.lasts()
    clock.stall(0.1)
    assert not grace.lasts()


def test_a_stall_is_being_late_by_more_than_a_third_of_a_lease_time() -> None:
    clock, grace = past_the_start()
    clock.stall(1 + LEASE_S / 3)
    assert grace.look(1) == LEASE_S / 3
    assert not grace.lasts()
    clock.stall(1.1 + LEASE_S / 3)
    grace.look(1)
    assert grace.lasts()
    clock.stall(LEASE_S)
    assert not grace.lasts()


def test_being_early_is_not_being_late() -> None:
    clock, grace = past_the_start()
    clock.stall(0.5)
    assert grace.look(1) == 0


def test_an_outage_lasts_until_the_store_serves_and_one_lease_time_more() -> None:
    clock, grace = past_the_start()
    grace.store_failed()
    clock.stall(1000)
    assert grace.lasts()
    grace.store_served()
    clock.stall(LEASE_S - 0.1)
    grace.store_served()  # every commit says so: only the first after a failure counts
    assert grace.lasts()
    clock.stall(0.1)
    assert not grace.lasts()
