"""The rates follow full slices, kind by kind, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dynwork.wire import KindPace, LeaseAsk
from dynwork.worker.pace import WEIGHT, Pace, Seen

FULL = Seen("k", chains=1, unfinished=1, width=1, steps=200, seconds=0.05, max_seconds=0.05, all_busy=True)
WIDE = replace(FULL, kind="wide", chains=9, unfinished=5, width=4)


def pace() -> Pace:
    made = Pace(2, {"k": 1, "wide": 4}, "k")
    made.calibrate([1000.0, 1500.0, 3500.0], [600.0, 1000.0, 1100.0])
    return made


def test_a_worker_that_is_not_calibrated_has_no_rates() -> None:
    made = Pace(2, {"k": 1}, "k")
    assert not made.calibrated
    assert made.capacity == 0


def test_capacity_is_that_of_all_groups_and_chain_speed_the_median_of_one_alone() -> None:
    assert (pace().capacity, pace().chain_speed, pace().calibrated) == (4000.0, 1000.0, True)


def test_a_kind_that_was_never_measured_has_lanes_and_no_rates() -> None:
    assert pace().told() == {
        "k": KindPace(capacity=4000.0, chain_speed=1000.0, lanes=2),
        "wide": KindPace(capacity=0.0, chain_speed=0.0, lanes=8),
    }


def test_each_kind_has_the_rates_that_its_own_slices_show() -> None:
    made = pace()
    made.learn(WIDE)  # 4000 steps per second and group
    made.learn(replace(WIDE, chains=1, unfinished=1, steps=100))
    assert made.told() == {
        "k": KindPace(capacity=4000.0, chain_speed=1000.0, lanes=2),
        "wide": KindPace(capacity=8000.0, chain_speed=2000.0, lanes=8),
    }


def test_a_full_slice_moves_both_rates_toward_what_it_showed() -> None:
    made = pace()
    made.learn(FULL)  # 4000 steps per second
    assert made.capacity == pytest.approx(2 * (2000 + WEIGHT * (4000 - 2000)))
    assert made.chain_speed == pytest.approx(1000 + WEIGHT * (4000 - 1000))


def test_capacity_is_learned_only_while_all_groups_are_busy() -> None:
    made = pace()
    made.learn(replace(FULL, all_busy=False))
    assert made.capacity == 4000.0
    assert made.chain_speed > 1000.0


@pytest.mark.parametrize(
    "seen",
    [
        replace(WIDE, unfinished=0),
        replace(WIDE, seconds=0.044),
        replace(WIDE, chains=4, unfinished=3),
        replace(WIDE, chains=1, unfinished=0),
        replace(WIDE, chains=2, unfinished=1),
    ],
    ids=["its chains ended", "the time was not used up", "lanes were empty", "the one ended", "one was left alone"],
)
def test_a_slice_that_is_not_full_moves_no_rate_that_is_told(seen: Seen) -> None:
    made = pace()
    made.learn(WIDE)
    made.learn(replace(WIDE, chains=1, unfinished=1, steps=100))
    before = made.told()
    made.learn(replace(seen, steps=1000))
    assert made.told() == before


@pytest.mark.parametrize("unfinished", [4, 5])
def test_a_slice_is_full_if_every_lane_has_work_left(unfinished: int) -> None:
    made = pace()
    made.learn(WIDE)
    made.learn(replace(WIDE, unfinished=unfinished, seconds=0.046, steps=368))
    assert made.told()["wide"].capacity == pytest.approx(2 * (4000 + WEIGHT * 4000))


def test_a_chain_that_was_never_seen_alone_is_as_fast_as_one_lane() -> None:
    made = pace()
    made.learn(WIDE)
    assert made.told()["wide"].chain_speed == 4000.0 / 4
    assert made.alone_speed("wide") == 4000.0 / 4


def test_a_slice_without_a_chain_for_every_lane_is_no_measure_of_a_kind() -> None:
    made = pace()
    made.learn(replace(WIDE, chains=3, unfinished=3))
    made.learn(replace(WIDE, chains=3, unfinished=0, seconds=0.01))
    assert made.told() == pace().told()


@pytest.mark.parametrize("seconds", [0.02, 0.0002], ids=["less than a slice", "too short to measure well"])
def test_a_kind_whose_jobs_are_short_is_measured_by_the_first_slice_with_a_chain_for_every_lane(seconds: float) -> None:
    made = pace()
    made.learn(replace(WIDE, unfinished=0, steps=100, seconds=seconds, all_busy=False))
    assert made.told()["wide"].capacity == pytest.approx(2 * 100 / seconds)
    made.learn(replace(WIDE, unfinished=0, steps=1, seconds=seconds))
    assert made.told()["wide"].capacity == pytest.approx(2 * 100 / seconds)


def test_a_slice_that_took_no_time_on_the_clock_says_nothing() -> None:
    made = pace()
    made.learn(replace(WIDE, seconds=0.0))
    assert made.told() == pace().told()


def test_a_kind_whose_jobs_all_end_within_a_slice_is_measured_by_a_single_lane() -> None:
    made = Pace(2, {"k": 1, "brief": 1}, "k")
    made.learn(replace(FULL, kind="brief", unfinished=0, seconds=0.01, steps=10))
    assert made.told()["brief"] == KindPace(capacity=2000.0, chain_speed=1000.0, lanes=2)


def test_the_first_full_slice_of_a_kind_counts_though_other_groups_were_idle() -> None:
    made = Pace(2, {"k": 1, "wide": 4}, "k")
    made.learn(replace(WIDE, all_busy=False))
    assert made.told()["wide"].capacity == 8000.0
    made.learn(replace(WIDE, all_busy=False, steps=400))
    assert made.told()["wide"].capacity == 8000.0


def test_wide_lanes_say_nothing_about_one_chain_alone_and_one_alone_nothing_about_them() -> None:
    made = pace()
    made.learn(WIDE)
    made.learn(replace(WIDE, chains=1, unfinished=1, steps=100))
    full, alone = made.group_speed("wide"), made.alone_speed("wide")
    made.learn(replace(WIDE, steps=400))
    assert (made.group_speed("wide") > full, made.alone_speed("wide")) == (True, alone)
    full = made.group_speed("wide")
    made.learn(replace(WIDE, chains=1, unfinished=1, steps=400))
    assert (made.group_speed("wide"), made.alone_speed("wide") > alone) == (full, True)


def test_until_a_full_slice_was_seen_any_slice_is_a_hint_of_a_groups_speed() -> None:
    made = pace()
    assert made.group_speed("wide") == 2000.0  # as fast as the default kind, for want of better
    made.learn(replace(WIDE, chains=2, unfinished=0, seconds=0.01))
    assert made.group_speed("wide") == 20000.0
    made.learn(WIDE)
    assert made.group_speed("wide") == 4000.0


def test_a_slice_too_short_to_measure_is_not_learned_from() -> None:
    made = pace()
    made.learn(WIDE)
    made.learn(FULL)
    before = made.told()
    made.learn(replace(FULL, steps=10**6, seconds=0.0005))
    made.learn(replace(WIDE, steps=10**6, seconds=0.0005, max_seconds=0.0005))
    assert made.told() == before


def test_the_share_of_a_chain_is_what_it_takes_of_the_group_within_the_horizon() -> None:
    made = pace()
    made.learn(WIDE)  # 4000 steps per second: 1000 in each lane
    assert made.share_s("wide", 100, 0.5) == pytest.approx(0.1 / 4)
    assert made.share_s("wide", 10**9, 0.5) == 0.5 / 4
    assert made.share_s("k", 100, 0.5) == pytest.approx(0.05)


def test_of_a_kind_whose_speed_nobody_knows_any_chain_may_be_long() -> None:
    assert Pace(2, {"k": 4}, "k").share_s("k", 1, 0.5) == 0.5 / 4


def test_rates_stay_within_what_can_be_told() -> None:
    made = pace()
    for _ in range(100):
        made.learn(replace(FULL, steps=10**18))
    told = made.told()
    LeaseAsk(worker_id="w", incarnation="i", capacity=made.capacity, chain_speed=made.chain_speed, lanes=2, paces=told)
