"""How much work is handed out: all lanes, and what starts within the prefetch time."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynwork.orchestrator.core.leasing import Hand, LeasePolicy
from dynwork.orchestrator.core.worker import Pace, Paces

POLICY = LeasePolicy(prefetch_s=1.0, batch_max=10)
ONE, FOUR, IDLE = Pace(100.0, 100.0, 1), Pace(400.0, 150.0, 4), Pace(0.0, 0.0, 3)
LONG = 100_000
KIND = "hash"
Chain = tuple[str, int]


def share(pace: Pace, held: list[int], queue: list[int], policy: LeasePolicy) -> int:
    """Return how many chains of one kind, from the front of ``queue`` (steps remaining of each), it is given."""
    return shares({KIND: pace}, [(KIND, steps) for steps in held], [(KIND, steps) for steps in queue], policy)


def shares(paces: Paces, held: list[Chain], queue: list[Chain], policy: LeasePolicy = POLICY) -> int:
    """Return how many chains from the front of ``queue`` the worker is given."""
    hand = Hand(paces, held, policy)
    for kind, remaining in queue:
        if not hand.wants(kind):
            break
        hand.deal(kind, remaining)
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


def test_the_order_in_which_held_chains_are_named_is_no_matter() -> None:
    """Laid out as they come, 50 and 50 would leave the third to one lane and the other free at half a second."""
    pace, policy = Pace(200.0, 100.0, 2), LeasePolicy(prefetch_s=1.0)
    assert share(pace, [50, 50, 100], [1], policy) == share(pace, [100, 50, 50], [1], policy) == 0


def test_a_hand_counts_what_it_was_dealt() -> None:
    hand = Hand({KIND: FOUR}, [(KIND, LONG)], POLICY)
    assert (hand.dealt, hand.wants(KIND)) == (0, True)
    for _ in range(3):
        hand.deal(KIND, LONG)
    assert (hand.dealt, hand.wants(KIND)) == (3, False)


# --- several kinds: a worker of two cores, four lanes of "hash" in each, and two kinds that run once in a core
CORES = {KIND: Pace(800.0, 150.0, 8), "slow": Pace(0.8, 0.4, 2), "new": Pace(0.0, 0.0, 2), "odd": Pace(60.0, 20.0, 6)}
KINDS = st.sampled_from((*CORES, "unheard-of"))


def of(kind: str, *remaining: int) -> list[Chain]:
    return [(kind, steps) for steps in remaining]


@pytest.mark.parametrize(
    ("why", "held", "queue", "expected"),
    [
        ("a thousand times slower: the lanes, and nothing ahead", [], of("slow", *[2] * 9), 2),
        ("a slow chain takes a core, four lanes", of("slow", 99), of(KIND, *[LONG] * 9), 4),
        ("the lanes that are left are filled ahead as ever", of("slow", 99), of(KIND, *[40] * 99), 10),
        ("part of a core is a core: 8 lanes, or 6 of another kind", of("odd", 99), of(KIND, *[LONG] * 9), 6),
        ("two slow chains take everything", of("slow", 99, 99), of(KIND, 1), 0),
        ("a chain in a lane takes its core from a kind without lanes", of(KIND, LONG), of("slow", 9, 9), 1),
        ("two of them may be in one core each", of(KIND, LONG, LONG), of("slow", 9), 0),
        ("a core that is free within the prefetch time", of("slow", 0) + of(KIND, LONG, 300), of("slow", 9, 9), 1),
        ("one that is not", of(KIND, LONG, 400), of("slow", 9), 0),
        ("never measured: free lanes, and nothing ahead", [], of("new", *[1] * 9), 2),
        ("never measured: not behind short work of another kind either", of(KIND, 1, 1), of("new", 1), 0),
        ("never measured: it lasts for all that is known", of("new", 1), of(KIND, *[LONG] * 9), 4),
        ("never measured: nothing is put behind it", of("new", 1, 1), of(KIND, 1), 0),
        ("a kind the worker says nothing of: one chain, alone", [], of("unheard-of", 1, 1), 1),
        ("and only if it is idle", of(KIND, 1), of("unheard-of", 1), 0),
    ],
    ids=lambda value: value.replace(" ", "_") if isinstance(value, str) else "",
)
def test_share_of_several_kinds(why: str, held: list[Chain], queue: list[Chain], expected: int) -> None:
    assert shares(CORES, held, queue) == expected, why


def test_the_batch_is_bounded_over_all_kinds() -> None:
    assert shares(CORES, [], [(kind, 0) for _ in range(20) for kind in (KIND, "slow")]) == POLICY.batch_max


@given(chains=st.lists(st.tuples(KINDS, st.integers(0, 1000)), max_size=30), kind=KINDS)
def test_it_is_no_matter_whether_a_chain_was_held_or_dealt_and_when_its_kind_was_asked_for(
    chains: list[Chain], kind: str
) -> None:
    policy = LeasePolicy(prefetch_s=1.0, batch_max=100)
    in_order = sorted(chains, reverse=True)
    dealt, asked = Hand(CORES, [], policy), Hand(CORES, [], policy)
    for name in CORES:
        asked.wants(name)
    for one in in_order:
        dealt.deal(*one)
        asked.deal(*one)
    assert Hand(CORES, chains, policy).wants(kind) == dealt.wants(kind) == asked.wants(kind)


@given(
    held=st.lists(st.tuples(KINDS, st.integers(0, 1000)), max_size=12),
    more=st.lists(st.tuples(KINDS, st.integers(0, 1000)), max_size=12),
    kind=KINDS,
)
def test_what_was_not_wanted_is_not_wanted_after_more_was_dealt(
    held: list[Chain], more: list[Chain], kind: str
) -> None:
    hand = Hand(CORES, held, POLICY)
    wanted = hand.wants(kind)
    for one in more:
        hand.deal(*one)
        assert wanted or not hand.wants(kind)
        wanted = hand.wants(kind)


@given(held=st.lists(st.tuples(KINDS, st.integers(0, 1000)), max_size=30), kind=st.sampled_from(tuple(CORES)))
def test_it_is_list_scheduling_over_single_lanes(held: list[Chain], kind: str) -> None:
    """Said once more, plainly: each chain goes to as many of the lanes as it takes, those that are free first."""
    lanes, own = [0.0] * CORES[kind].lanes, CORES[kind]
    for other, remaining in sorted(held, reverse=True):
        pace = CORES.get(other, Pace(0.0, 0.0))
        width = -(-own.lanes // pace.lanes)
        rate = pace.capacity * width / own.lanes
        lanes.sort()
        lanes[:width] = [free + (remaining / rate if rate else math.inf) for free in lanes[:width]]
    soonest, horizon = min(lanes), POLICY.prefetch_s if own.capacity else 0.0
    assert Hand(CORES, held, POLICY).wants(kind) == (soonest == 0 or soonest < horizon)


@given(factor=st.integers(1, 10**6), held=st.lists(st.integers(1, 10**6), max_size=20))
def test_only_seconds_count_not_how_fine_the_steps_are(factor: int, held: list[int]) -> None:
    """The same work told in steps a million times finer is shared out alike."""
    coarse, fine = Pace(256.0, 1.0, 4), Pace(256.0 * factor, 1.0, 4)
    assert share(coarse, held, [64] * 50, POLICY) == share(
        fine, [steps * factor for steps in held], [64 * factor] * 50, POLICY
    )
