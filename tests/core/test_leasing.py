"""How much work is handed out: all lanes, and what starts within the prefetch time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynwork.orchestrator.core.leasing import Hand, LeasePolicy
from dynwork.orchestrator.core.worker import Pace

POLICY = LeasePolicy(prefetch_s=1.0, batch_max=10)
ONE, FOUR, IDLE = Pace(100.0, 100.0, 1), Pace(400.0, 150.0, 4), Pace(0.0, 0.0, 3)
LONG = 100_000


def share(pace: Pace, held: list[int], queue: list[int], policy: LeasePolicy) -> int:
    """Return how many chains from the front of ``queue`` (steps remaining of each) the worker is given."""
    hand = Hand(pace, held, policy)
    for remaining in queue:
        if not hand.wants:
            break
        hand.deal(remaining)
    return hand.dealt


@pytest.mark.parametrize(
    ("why", "pace", "held", "queue", "expected"),
    [
        ("nothing queued", FOUR, [], [], 0),
        ("long chains: one a lane", FOUR, [], [LONG] * 9, 4),
        ("lanes taken", FOUR, [LONG] * 4, [LONG] * 9, 0),
        ("one lane left", FOUR, [LONG] * 3, [1] * 9, 9),
        ("a lane that is free within the prefetch time", FOUR, [LONG, LONG, LONG, 99], [LONG] * 9, 1),
        ("a lane that is free just not within it", FOUR, [LONG, LONG, LONG, 100], [LONG] * 9, 0),
        ("short chains follow each other for the prefetch time", ONE, [], [40] * 9, 3),
        ("unequal chains go to the lane that is free first", FOUR, [], [90, 10, 10, 10, LONG, LONG, LONG, 50, 1], 8),
        ("more held than lanes: they queue up on the worker", ONE, [60, 60], [1] * 9, 0),
        ("the batch is bounded", ONE, [], [1] * 99, 10),
        ("the bound is on what is dealt, not on what is held", ONE, [1] * 20, [1] * 99, 10),
        ("unknown capacity: one chain a lane", IDLE, [], [1] * 9, 3),
        ("unknown capacity, lanes taken", IDLE, [1, 1, 1], [1] * 9, 0),
        ("no lanes told: one", Pace(100.0, 100.0, 0), [], [LONG] * 9, 1),
        ("chains with nothing left cost no time", ONE, [0, 0], [LONG] * 9, 1),
    ],
    ids=lambda value: value.replace(" ", "_") if isinstance(value, str) else "",
)
def test_share(why: str, pace: Pace, held: list[int], queue: list[int], expected: int) -> None:
    assert share(pace, held, queue, POLICY) == expected, why


def test_without_prefetch_only_free_lanes_are_filled() -> None:
    policy = LeasePolicy(prefetch_s=0.0, batch_max=100)
    assert share(FOUR, [1], [1] * 9, policy) == 3


def test_a_worker_alone_is_measured_by_its_full_lanes() -> None:
    """With all lanes full a chain runs at capacity / lanes, not at the speed of one chain alone."""
    assert share(Pace(400.0, 400.0, 4), [LONG] * 3, [60, 60, 60], POLICY) == 2


@given(
    pace=st.builds(Pace, st.floats(0, 1e9), st.just(1.0), st.integers(0, 64)),
    held=st.lists(st.integers(0, 10**12), max_size=80),
    queue=st.lists(st.integers(0, 10**12), max_size=40),
)
def test_no_lane_stays_idle_while_there_is_work_and_the_bound_holds(
    pace: Pace, held: list[int], queue: list[int]
) -> None:
    dealt = share(pace, held, queue, POLICY)
    free_lanes = max(max(pace.lanes, 1) - len(held), 0)
    assert min(free_lanes, len(queue), POLICY.batch_max) <= dealt <= min(len(queue), POLICY.batch_max)


@given(held=st.lists(st.integers(1, 10**6), max_size=20), queue=st.lists(st.integers(1, 10**6), max_size=20))
def test_the_last_chain_given_would_start_within_the_prefetch_time(held: list[int], queue: list[int]) -> None:
    dealt = share(ONE, held, queue, POLICY)
    if dealt and held:
        assert sum([*held, *queue[: dealt - 1]]) / ONE.capacity < POLICY.prefetch_s


def test_a_hand_counts_what_it_was_dealt() -> None:
    hand = Hand(FOUR, [LONG], POLICY)
    assert (hand.dealt, hand.wants) == (0, True)
    for _ in range(3):
        hand.deal(LONG)
    assert (hand.dealt, hand.wants) == (3, False)
