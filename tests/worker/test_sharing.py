"""Few chains over several groups: a chain alone makes twice the speed of one lane among four."""

from __future__ import annotations

from itertools import permutations, product

import pytest

from dynwork.worker.sharing import Speeds, better_there, fair_share

KERNEL = Speeds(width=4, full=10.8, alone=5.3)
PLAIN = Speeds(width=1, full=1.0, alone=1.0)


def settled(groups: list[int], speeds: Speeds) -> list[int]:
    """Let every group in turn hand over what is better elsewhere, until nobody moves any more."""
    groups = list(groups)
    for _ in range(20):
        before = list(groups)
        for here, there in permutations(range(len(groups)), 2):
            moved = better_there(groups[here], groups[there], speeds)
            groups[here], groups[there] = groups[here] - moved, groups[there] + moved
        if groups == before:
            return groups
    raise AssertionError("chains wander for ever")


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([2, 0], [1, 1]),
        ([4, 0], [3, 1]),
        ([2, 2], [1, 3]),  # one at twice the speed and three lanes beat four lanes
        ([4, 1], [4, 1]),
        ([3, 2], [1, 4]),
        ([4, 4], [4, 4]),
        ([3, 0, 0], [1, 1, 1]),
    ],
)
def test_few_chains_find_the_groups_where_they_are_fastest(groups: list[int], expected: list[int]) -> None:
    assert sorted(settled(groups, KERNEL)) == sorted(expected)


MANY_SPEEDS = [KERNEL, PLAIN, Speeds(5, 14.0, 5.2), Speeds(8, 24.0, 5.3), Speeds(9, 27.0, 5.3), Speeds(4, 10.0, 2.5)]


@pytest.mark.parametrize("speeds", MANY_SPEEDS)
def test_wherever_chains_are_two_groups_come_within_half_a_lane_of_the_best_spread(speeds: Speeds) -> None:
    spreads = list(product(range(speeds.width + 1), repeat=2))
    for groups in spreads:
        best = max(sum(map(speeds.of, spread)) for spread in spreads if sum(spread) == sum(groups))
        assert sum(map(speeds.of, settled(list(groups), speeds))) > best - speeds.lane / 2


@pytest.mark.parametrize("speeds", MANY_SPEEDS)
def test_of_three_groups_none_is_idle_while_another_has_two_and_none_is_slower_than_before(speeds: Speeds) -> None:
    for groups in product(range(speeds.width + 1), repeat=3):
        after = settled(list(groups), speeds)
        assert sum(map(speeds.of, after)) >= sum(map(speeds.of, groups)) - 1e-9
        assert min(after) > 0 or max(after) < 2


def test_a_group_does_not_give_its_last_chain_away() -> None:
    slow_alone = Speeds(width=4, full=10.0, alone=0.5)
    assert not any(better_there(1, there, speeds) for there in range(5) for speeds in (KERNEL, PLAIN, slow_alone))


def test_chains_stay_for_what_is_less_than_half_a_lane() -> None:
    """Measured speeds waver: chains would wander to and fro."""
    assert better_there(2, 2, Speeds(width=4, full=10.0, alone=3.7)) == 0
    assert better_there(2, 2, Speeds(width=4, full=10.0, alone=3.8)) == 1


def test_an_idle_group_is_given_as_many_as_make_both_fastest() -> None:
    assert better_there(8, 0, KERNEL) == 4


@pytest.mark.parametrize(
    ("waiting", "here", "idle", "expected"),
    [
        (1, 0, 1, 1),
        (2, 0, 1, 1),  # one each
        (4, 0, 1, 3),  # three lanes here, one chain alone there
        (5, 0, 1, 4),
        (1, 3, 1, 0),  # who is busy leaves the only one to who is not
        (1, 3, 0, 1),
        (1000, 0, 1, 500),  # of many, halves
        (1000, 2, 0, 1000),
    ],
)
def test_a_group_leaves_chains_to_those_that_have_none(waiting: int, here: int, idle: int, expected: int) -> None:
    assert fair_share(waiting, here, idle, width=4) == expected
