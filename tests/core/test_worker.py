"""What is known of a worker: how fast it is at each kind, and how many lanes it has for it."""

from __future__ import annotations

from dynwork.orchestrator.core.worker import UNMEASURED, Pace, WorkerFacts, updated

FAST, SLOW = Pace(400.0, 100.0, 8), Pace(0.4, 0.2, 2)


def test_a_heartbeat_changes_the_rates_that_it_tells_and_nothing_else() -> None:
    assert updated({"fast": FAST, "slow": SLOW}, {"fast": Pace(300.0, 90.0)}) == {
        "fast": Pace(300.0, 90.0, 8),
        "slow": SLOW,
    }


def test_a_kind_that_a_heartbeat_tells_first_comes_with_its_lanes() -> None:
    assert updated({}, {"slow": SLOW}) == {"slow": SLOW}


def test_lanes_are_counted_by_kind() -> None:
    mixed = WorkerFacts("w", "w-1", {"fast": FAST, "slow": SLOW})
    assert (mixed.lanes_min, mixed.lanes_max) == (2, 8)
    silent = WorkerFacts("w", "w-1")
    assert (silent.lanes_min, silent.lanes_max) == (1, 1)


def test_of_a_kind_that_a_worker_says_nothing_of_no_pace_is_known() -> None:
    assert WorkerFacts("w", "w-1", {"fast": FAST}).pace("slow") == UNMEASURED
