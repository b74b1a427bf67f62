"""Whom a nudge wakes."""

from contextlib import ExitStack

from dynwork.orchestrator.core.worker import Pace, WorkerFacts
from dynwork.orchestrator.parking import Parking, Place


def facts(worker_id: str, lanes: int = 2) -> WorkerFacts:
    return WorkerFacts(worker_id, f"{worker_id}-1", {"fast": Pace(10, 10, lanes), "slow": Pace(1, 1, min(lanes, 2))})


def awake(*places: Place) -> list[str]:
    return [place.facts.worker_id for place in places if place.wake.is_set()]


async def test_the_most_recently_parked_is_woken_first_and_no_more_than_needed() -> None:
    parking = Parking()
    with ExitStack() as parked:
        places = [parked.enter_context(parking.place(facts(name), 0)) for name in "abcd"]
        parking.nudge(2)
        assert awake(*places) == ["c", "d"]
        parking.nudge(1)
        assert awake(*places) == ["b", "c", "d"]


async def test_one_woken_in_vain_keeps_its_place_in_the_order() -> None:
    parking = Parking()
    with ExitStack() as parked:
        a, b, c = (parked.enter_context(parking.place(facts(name), 0)) for name in "abc")
        parking.nudge(3)
        for place in (c, a, b):
            place.wake.clear()
        parking.nudge(1)
        assert awake(a, b, c) == ["c"]


async def test_a_free_lane_comes_before_fetching_ahead() -> None:
    parking = Parking()
    with ExitStack() as parked:
        idle = parked.enter_context(parking.place(facts("idle"), 1))
        full = parked.enter_context(parking.place(facts("full"), 2))
        parking.nudge(1)
        assert awake(idle, full) == ["idle"]
        parking.nudge(1)
        assert awake(idle, full) == ["idle", "full"]


async def test_a_full_worker_that_ended_a_lease_looks_again() -> None:
    parking = Parking()
    with parking.place(facts("full"), 2) as place:
        parking.ended_lease("full")
        assert awake(place) == ["full"]
        assert not place.full


async def test_a_worker_whose_kinds_differ_in_lanes_may_be_full_with_the_fewest() -> None:
    parking = Parking()
    with parking.place(facts("mixed", lanes=8), 2) as place:
        assert place.full
        parking.ended_lease("mixed")
        assert awake(place) == ["mixed"]


async def test_a_worker_with_free_lanes_has_nothing_to_gain_from_its_own_report() -> None:
    parking = Parking()
    with parking.place(facts("idle"), 1) as place:
        parking.ended_lease("idle")
        parking.ended_lease("unknown")
        assert awake(place) == []


async def test_a_second_ask_of_a_worker_dismisses_the_first() -> None:
    parking = Parking()
    with parking.place(facts("w"), 0) as first:
        with parking.place(facts("w"), 0) as second:
            assert (first.dismissed, second.dismissed) == (True, False)
            assert awake(first, second) == ["w"]
        parking.wake_workers(["w"])  # nobody of that name is left but the dismissed one
    assert len(parking) == 0


async def test_leaving_of_the_first_does_not_forget_the_second() -> None:
    parking = Parking()
    with ExitStack() as parked:
        first = parking.place(facts("w"), 0)
        first.__enter__()
        second = parked.enter_context(parking.place(facts("w"), 0))
        first.__exit__(None, None, None)
        parking.wake_workers(["w"])
        assert awake(second) == ["w"]


async def test_a_wake_that_was_not_used_is_passed_on() -> None:
    parking = Parking()
    with parking.place(facts("stays"), 0) as stays:
        with parking.place(facts("leaves"), 0):
            parking.nudge(1)
        assert awake(stays) == ["stays"]


async def test_a_wake_that_was_used_is_not_passed_on() -> None:
    parking = Parking()
    with parking.place(facts("stays"), 0) as stays:
        with parking.place(facts("leaves"), 0) as leaves:
            parking.nudge(1)
            leaves.wake.clear()
        assert awake(stays) == []


async def test_it_is_known_whether_anyone_is_parked() -> None:
    parking = Parking()
    assert not parking.occupied.is_set()
    with parking.place(facts("w"), 0):
        assert parking.occupied.is_set()
    assert not parking.occupied.is_set()
