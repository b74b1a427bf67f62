"""Whose turn it is, what goes into a lane together, and when more is asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynwork.worker.holding import Held
from dynwork.worker.waiting import BATCH_CHAINS_MAX, PREFETCH_S, Waiting, fill, free_in_s, hungry


def chain(order: int, *, remaining: int = 10, priority: int = 5, kind: str = "k", alone: bool = False) -> Held:
    return Held(f"j{order}", 1, kind, b"s", 0, remaining, priority, order, 0, alone=alone)


def waiting_of(*chains: Held) -> Waiting:
    waiting = Waiting()
    for held in chains:
        waiting.push(held)
    return waiting


def orders(chains: list[Held]) -> list[int]:
    return [held.order for held in chains]


@given(st.lists(st.integers(0, 9)))
def test_higher_priority_goes_first_then_the_order_of_grants(priorities: list[int]) -> None:
    chains = [chain(order, priority=priority) for order, priority in enumerate(priorities)]
    waiting = waiting_of(*reversed(chains))
    popped = [waiting.pop() for _ in chains]
    assert popped == sorted(chains, key=lambda held: (-held.priority, held.order))
    assert waiting.first() is None


def test_the_steps_waiting_are_known_by_kind() -> None:
    waiting = waiting_of(chain(1, remaining=3), chain(2, remaining=4), chain(3, kind="other", remaining=5))
    assert waiting.steps == {"k": 7, "other": 5}
    waiting.pop()
    assert waiting.steps == {"k": 4, "other": 5}
    assert len(waiting.take_all()) == 2
    assert waiting.steps == {}


def test_those_that_are_gone_are_taken_out_with_their_work() -> None:
    gone, kept = chain(1, remaining=3), chain(2, remaining=4)
    waiting = waiting_of(gone, kept)
    gone.gone = True
    waiting.discard_gone()
    assert waiting.first() is kept
    assert waiting.steps == {"k": 4}


def test_short_chains_join_until_the_batch_is_a_slice_of_work() -> None:
    waiting = waiting_of(*(chain(order, remaining=10) for order in range(2, 20)))
    batch = [chain(1, remaining=10)]
    fill(batch, waiting, width=1, steps=50, chains=100)
    assert orders(batch) == [1, 2, 3, 4, 5]


def test_a_long_chain_in_progress_is_joined_by_none() -> None:
    batch = [chain(1, remaining=1000)]
    fill(batch, waiting_of(chain(2, priority=9)), width=1, steps=50, chains=100)
    assert orders(batch) == [1]


def test_every_lane_of_a_wide_kind_is_filled_however_long_its_chains_are() -> None:
    batch = [chain(1, remaining=1000)]
    fill(batch, waiting_of(*(chain(order, remaining=1000) for order in range(2, 9))), width=4, steps=50, chains=1)
    assert orders(batch) == [1, 2, 3, 4]


def test_a_batch_leaves_to_others_what_is_theirs() -> None:
    batch = [chain(1)]
    fill(batch, waiting_of(*(chain(order) for order in range(2, 9))), width=1, steps=1e9, chains=3)
    assert orders(batch) == [1, 2, 3]


def test_a_batch_is_bounded() -> None:
    batch = [chain(0, remaining=1)]
    waiting = waiting_of(*(chain(order, remaining=1) for order in range(1, BATCH_CHAINS_MAX + 10)))
    fill(batch, waiting, width=1, steps=1e9, chains=10**6)
    assert len(batch) == BATCH_CHAINS_MAX


def test_another_kind_whose_turn_it_is_ends_the_batch() -> None:
    batch = [chain(1)]
    fill(batch, waiting_of(chain(2), chain(3, kind="other"), chain(4)), width=1, steps=1e9, chains=100)
    assert orders(batch) == [1, 2]


def test_a_chain_that_runs_alone_joins_none_and_is_joined_by_none() -> None:
    batch = [chain(1)]
    fill(batch, waiting_of(chain(2, alone=True), chain(3)), width=4, steps=1e9, chains=100)
    assert orders(batch) == [1]
    batch = [chain(1, alone=True)]
    fill(batch, waiting_of(chain(3)), width=4, steps=1e9, chains=100)
    assert orders(batch) == [1]


@pytest.mark.parametrize(
    ("remaining", "width", "expected"),
    [
        ([], 1, 0.0),
        ([100], 1, 1.0),
        ([100, 50], 1, 1.5),
        ([100], 4, 0.0),  # three of four lanes are free
        ([100, 40, 100, 100], 4, 1.6),  # each of four runs at a quarter of the speed; the shortest ends first
    ],
)
def test_a_lane_is_free_when_its_chains_are_through(remaining: list[int], width: int, expected: float) -> None:
    assert free_in_s(remaining, width, 100.0) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("free_in", "waiting", "waiting_s", "expected"),
    [
        ([0.0, 9.0], 0, 0.0, True),  # a lane is free
        ([9.0, 9.0], 0, 0.0, False),  # all are busy for long
        ([9.0, PREFETCH_S / 2], 0, 0.0, True),  # one ends soon, and nothing waits
        ([9.0, PREFETCH_S / 2], 1, 9.0, False),  # one ends soon, and one chain waits
        ([0.1, 0.1], 1, 9.0, True),  # two end soon, and one long chain waits
        ([0.1, 0.1], 500, 0.3, True),  # many short ones wait, but not half a second of them for each
        ([0.1, 0.1], 500, 0.9, False),
    ],
)
def test_more_is_asked_for_when_a_lane_would_soon_stand_empty(
    free_in: list[float], waiting: int, waiting_s: float, expected: bool
) -> None:
    assert hungry(free_in, waiting, waiting_s) is expected
