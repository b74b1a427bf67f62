"""The rates follow full slices, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dynwork.wire import LeaseAsk
from dynwork.worker.pace import WEIGHT, Pace, Seen

FULL = Seen("k", chains=1, unfinished=1, width=1, steps=200, seconds=0.05, max_seconds=0.05, all_busy=True)


def pace() -> Pace:
    made = Pace(2)
    made.calibrate([1000.0, 3000.0], [900.0, 1100.0])
    return made


def test_a_worker_that_is_not_calibrated_has_no_rates() -> None:
    assert not Pace(2).calibrated
    assert Pace(2).capacity == 0


def test_capacity_is_the_sum_of_the_groups_and_chain_speed_the_median_of_one_alone() -> None:
    assert (pace().capacity, pace().chain_speed, pace().calibrated) == (4000.0, 1000.0, True)


def test_a_full_slice_moves_both_rates_toward_what_it_showed() -> None:
    made = pace()
    made.learn(0, FULL)  # 4000 steps per second
    assert made.capacity == pytest.approx(4000 + WEIGHT * (4000 - 1000))
    assert made.chain_speed == pytest.approx(1000 + WEIGHT * (4000 - 1000))


def test_capacity_is_learned_only_while_all_groups_are_busy() -> None:
    made = pace()
    made.learn(0, replace(FULL, all_busy=False))
    assert made.capacity == 4000.0
    assert made.chain_speed > 1000.0


@pytest.mark.parametrize(
    "seen",
    [
        replace(FULL, unfinished=0),
        replace(FULL, seconds=0.02),
        replace(FULL, chains=4, unfinished=3, width=4),
    ],
    ids=["its chains ended", "the time was not used up", "lanes were empty"],
)
def test_a_slice_that_is_not_full_moves_no_rate(seen: Seen) -> None:
    made = pace()
    made.learn(0, seen)
    assert (made.capacity, made.chain_speed) == (4000.0, 1000.0)


def test_wide_lanes_say_nothing_about_one_chain_alone() -> None:
    made = pace()
    made.learn(0, replace(FULL, chains=4, unfinished=4, width=4))
    assert made.chain_speed == 1000.0
    assert made.capacity > 4000.0


def test_the_speed_of_a_kind_starts_at_the_average_and_follows_every_slice_of_it() -> None:
    made = pace()
    assert made.group_speed("k") == 2000.0
    made.learn(0, replace(FULL, unfinished=0, seconds=0.01))  # 20000 steps per second, not full
    assert made.group_speed("k") == pytest.approx(2000 + WEIGHT * 18000)
    assert made.group_speed("other") == 2000.0


def test_a_slice_too_short_to_measure_is_not_learned_from() -> None:
    made = pace()
    made.learn(0, replace(FULL, seconds=0.0005))
    assert made.group_speed("k") == 2000.0


def test_rates_stay_within_what_can_be_told() -> None:
    made = pace()
    for _ in range(100):
        for group in (0, 1):
            made.learn(group, replace(FULL, steps=10**18))
    LeaseAsk(worker_id="w", incarnation="i", capacity=made.capacity, chain_speed=made.chain_speed, lanes=2)
