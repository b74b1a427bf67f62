"""Whose turn it is, what goes into a lane together, and when more is asked for."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynwork.worker.holding import Held
from dynwork.worker.waiting import BATCH_CHAINS_MAX, PREFETCH_S, Room, Waiting, fill, hungry

LANE_STEPS_PER_S = 100


def chain(order: int, *, remaining: int = 10, priority: int = 5, kind: str = "k", alone: bool = False) -> Held:
    return Held(f"j{order}", 1, kind, b"s", 0, remaining, priority, order, 0, alone=alone)


def steps(held: Held) -> float:
    return float(held.remaining)


def waiting_of(*chains: Held) -> Waiting:
    waiting = Waiting(steps)
    for held in chains:
        waiting.push(held)
    return waiting


def room(width: int = 1, *, seconds: float = 0.5, chains: int = 10**6, spares: int = 0) -> Room:
    """Room in a group whose lanes make 100 steps per second each."""

    def share(held: Held) -> float:
        return min(held.remaining / LANE_STEPS_PER_S, seconds) / width

    return Room(seconds, share, chains, spares)


def orders(chains: Iterable[Held]) -> list[int]:
    return [held.order for held in chains]


@given(st.lists(st.integers(0, 9)))
def test_higher_priority_goes_first_then_the_order_of_grants(priorities: list[int]) -> None:
    chains = [chain(order, priority=priority) for order, priority in enumerate(priorities)]
    waiting = waiting_of(*reversed(chains))
    popped = [waiting.pop() for _ in chains]
    assert popped == sorted(chains, key=lambda held: (-held.priority, held.order))
    assert waiting.first() is None


def test_the_work_that_waits_is_known() -> None:
    waiting = waiting_of(chain(1, remaining=3), chain(2, remaining=4))
    assert waiting.work_s == 7
    waiting.pop()
    assert waiting.work_s == 4
    assert len(waiting.take_all()) == 1
    assert waiting.work_s == 0


def test_a_chain_leaves_with_the_share_it_came_with_though_speeds_have_changed_since() -> None:
    share = [0.1]
    waiting = Waiting(lambda _: share[0])
    for order in range(3):
        waiting.push(chain(order))
    share[0] = 5.0
    waiting.pop()
    assert waiting.work_s == pytest.approx(0.2)


def test_those_that_are_gone_are_taken_out_with_their_work() -> None:
    gone, kept = chain(1, remaining=3), chain(2, remaining=4)
    waiting = waiting_of(gone, kept)
    gone.gone = True
    waiting.discard_gone()
    assert waiting.first() is kept
    assert waiting.work_s == 4


# -- what joins a batch
def test_short_chains_join_until_the_batch_is_a_slice_of_work() -> None:
    waiting = waiting_of(*(chain(order, remaining=10) for order in range(2, 20)))
    batch = [chain(1, remaining=10)]
    fill(batch, waiting, room())
    assert orders(batch) == [1, 2, 3, 4, 5]


def test_a_long_chain_in_progress_is_joined_by_none() -> None:
    batch = [chain(1, remaining=1000)]
    fill(batch, waiting_of(chain(2, priority=9)), room(spares=4))
    assert orders(batch) == [1]


def test_every_lane_of_a_wide_kind_is_filled_however_long_its_chains_are() -> None:
    batch = [chain(1, remaining=1000)]
    fill(batch, waiting_of(*(chain(order, remaining=1000) for order in range(2, 9))), room(4))
    assert orders(batch) == [1, 2, 3, 4]


@given(st.data(), st.integers(1, 8))
def test_no_lane_stands_empty_for_half_a_slice_while_chains_wait(data: st.DataObject, width: int) -> None:
    """However long the chains are that are in progress and that wait, and with spares hardly ever at all."""
    lengths = st.lists(st.integers(1, 200), max_size=60)
    batch = [chain(order, remaining=left) for order, left in enumerate(data.draw(lengths)[:width])]
    waiting = waiting_of(*(chain(100 + order, remaining=left) for order, left in enumerate(data.draw(lengths))))
    fill(batch, waiting, room(width, spares=width))
    ends = [0.0] * width
    for held in batch:  # as the kernel does: whoever is next in the list takes the lane that is free first
        heapq.heapreplace(ends, ends[0] + held.remaining)
    assert len(waiting) == 0 or ends[0] >= 0.5 * LANE_STEPS_PER_S / 2


def test_a_batch_leaves_to_others_what_is_theirs() -> None:
    batch = [chain(1)]
    fill(batch, waiting_of(*(chain(order) for order in range(2, 9))), room(seconds=1e9, chains=3))
    assert orders(batch) == [1, 2, 3]


def test_a_batch_is_bounded() -> None:
    batch = [chain(0, remaining=1)]
    waiting = waiting_of(*(chain(order, remaining=1) for order in range(1, BATCH_CHAINS_MAX + 10)))
    fill(batch, waiting, room(seconds=1e9))
    assert len(batch) == BATCH_CHAINS_MAX


def test_spares_join_those_that_join_as_guesses_may_be_wrong() -> None:
    waiting = waiting_of(*(chain(order, remaining=10) for order in range(2, 20)))
    batch = [chain(1, remaining=40)]
    fill(batch, waiting, room(spares=2))
    assert orders(batch) == [1, 2, 3, 4]


def test_those_that_join_go_by_priority_then_the_longest_first() -> None:
    waiting = waiting_of(
        chain(2, remaining=5),
        chain(3, remaining=20),
        chain(4, remaining=7, priority=9),
        chain(5, remaining=9, priority=9),
        chain(6, remaining=30, priority=0),
    )
    batch = [chain(1, remaining=1, priority=0)]
    fill(batch, waiting, room(8))
    assert orders(batch) == [1, 5, 4, 3, 2, 6]


def test_nobody_is_overtaken_twice() -> None:
    short = chain(1, remaining=1)
    short.passed_over = True
    batch: list[Held] = []
    fill(batch, waiting_of(short, chain(2, remaining=50), chain(3, remaining=20, priority=6)), room(4))
    assert orders(batch) == [3, 1, 2]


def test_another_kind_whose_turn_it_is_ends_the_batch() -> None:
    batch = [chain(1)]
    fill(batch, waiting_of(chain(2), chain(3, kind="other"), chain(4)), room(4))
    assert orders(batch) == [1, 2]


def test_the_first_to_come_sets_the_kind_of_an_empty_batch() -> None:
    batch: list[Held] = []
    fill(batch, waiting_of(chain(1, kind="other"), chain(2, kind="other"), chain(3)), room(4))
    assert orders(batch) == [1, 2]


def test_a_chain_that_runs_alone_joins_none_and_is_joined_by_none() -> None:
    batch = [chain(1)]
    fill(batch, waiting_of(chain(2, alone=True), chain(3)), room(4))
    assert orders(batch) == [1]
    for batch in ([chain(1, alone=True)], []):
        fill(batch, waiting_of(chain(1, alone=True), chain(3)), room(4))
        assert orders(batch) == [1]


# -- when more is asked for
@pytest.mark.parametrize(
    ("work_s", "expected"),
    [
        (0.0, True),
        (PREFETCH_S * 1.9, True),  # of two groups one will soon have a lane free
        (PREFETCH_S * 2, False),
        (sum([PREFETCH_S / 7] * 14), False),  # sums of shares need not be exact
    ],
)
def test_more_is_asked_for_when_a_lane_would_soon_stand_empty(work_s: float, expected: bool) -> None:
    assert hungry(work_s, 2) is expected
