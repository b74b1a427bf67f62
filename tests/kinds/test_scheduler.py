"""Which chains the kernel advances, in how many lanes, how long: advance.c with a clock and lanes that do as told."""

from __future__ import annotations

import ctypes
import math
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.needs import program

pytest.importorskip("dynwork.kinds._sha512chain", reason="the kernel was not built: docs/howto/build.md")

HERE = Path(__file__).parent
NATIVE = HERE.parents[1] / "src" / "dynwork" / "kinds" / "native"
LANES = 5
"""Four in vectors and one beside them: scheduler.c."""
CLOCK_STEPS, DEAL_STEPS, DEAL_STEPS_PER_CHAIN, TRIAL_TURNS = 4096, 65536, 64, 32
"""As in advance.c."""
TRIAL_STEPS = TRIAL_TURNS * CLOCK_STEPS
ENDLESS = 2**40
STEP_S = 4e-7
"""What a step takes in four lanes."""
PAYS_S, COSTS_S = 1.1 * STEP_S, 1.5 * STEP_S
"""What it takes in five: less than 5/4 of that is worth it."""


class Scheduler:
    """The library, in a thread of its own: what it learns it keeps for the thread."""

    def __init__(self, library: ctypes.CDLL, thread: ThreadPoolExecutor) -> None:
        self._library, self._thread = library, thread
        library.scheduled.restype = ctypes.c_uint64
        library.scheduled.argtypes = [
            ctypes.c_size_t, ctypes.POINTER(ctypes.c_uint64), ctypes.c_int, ctypes.c_uint64, ctypes.c_double,
        ]  # fmt: skip
        self.takes(together=PAYS_S)

    def takes(self, *, together: float, vectors: float = STEP_S) -> None:
        for name, seconds in [("alone_s", STEP_S), ("vectors_s", vectors), ("together_s", together)]:
            ctypes.c_double.in_dll(self._library, name).value = seconds

    @property
    def now(self) -> float:
        return ctypes.c_double.in_dll(self._library, "now_s").value

    def count(self, name: str) -> int:
        return ctypes.c_uint64.in_dll(self._library, name).value

    def advance(
        self, remaining: list[int], max_steps: int, max_seconds: float = math.inf, *, in_order: bool = True
    ) -> list[int]:
        """Return what each chain made."""
        left = (ctypes.c_uint64 * len(remaining))(*remaining)
        call = (len(remaining), left, in_order, max_steps, max_seconds)
        done = self._thread.submit(self._library.scheduled, *call).result()
        made = [before - now for before, now in zip(remaining, left, strict=True)]
        assert sum(made) == done
        return made

    def share_together(self, steps: int) -> float:
        """Return how much of the next steps is made with the companion."""
        before = self.count("together_made"), self.count("vectors_made")
        self.advance([ENDLESS] * LANES, steps)
        together, vectors = self.count("together_made") - before[0], self.count("vectors_made") - before[1]
        return together / (together + vectors)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("scheduler") / "scheduler.so"
    compiler = program(os.environ.get("CC", "cc"), "gcc")
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-I", NATIVE, HERE / "scheduler.c", "-o", library], check=True)
    return library


@pytest.fixture
def new_thread(built: Path) -> Iterator[Callable[[], Scheduler]]:
    library, threads = ctypes.CDLL(str(built)), []

    def start() -> Scheduler:
        threads.append(ThreadPoolExecutor(1))
        return Scheduler(library, threads[-1])

    yield start
    for thread in threads:
        thread.shutdown()


@pytest.fixture
def scheduler(new_thread: Callable[[], Scheduler]) -> Scheduler:
    return new_thread()


# -- the companion
def test_a_companion_that_pays_is_used_all_the_time_but_for_the_trial(scheduler: Scheduler) -> None:
    assert scheduler.share_together(20 * TRIAL_STEPS) == pytest.approx(1 - 1 / TRIAL_TURNS, abs=0.02)


def test_a_companion_that_costs_is_used_in_the_trial_alone(scheduler: Scheduler) -> None:
    scheduler.takes(together=COSTS_S)
    assert scheduler.share_together(20 * TRIAL_STEPS) == pytest.approx(1 / TRIAL_TURNS, abs=0.02)


@pytest.mark.parametrize(("before", "after", "share"), [(PAYS_S, COSTS_S, 0.0), (COSTS_S, PAYS_S, 1.0)])
def test_when_that_changes_it_follows_within_a_tenth_of_a_second(
    scheduler: Scheduler, before: float, after: float, share: float
) -> None:
    scheduler.takes(together=before)
    scheduler.share_together(100 * TRIAL_STEPS)
    scheduler.takes(together=after)
    changed = scheduler.now
    scheduler.share_together(5 * TRIAL_STEPS)
    assert scheduler.now - changed < 0.1
    assert scheduler.share_together(5 * TRIAL_STEPS) == pytest.approx(share, abs=0.05)


def test_far_fewer_chains_than_have_a_lane_are_not_even_tried(scheduler: Scheduler) -> None:
    """It costs, and cannot win."""
    before = scheduler.count("alone_made")
    scheduler.advance([ENDLESS] * (LANES - 1), 10 * TRIAL_STEPS)
    assert scheduler.count("alone_made") == before


def test_one_trial_that_was_disturbed_changes_nothing(scheduler: Scheduler) -> None:
    scheduler.share_together(20 * TRIAL_STEPS)
    scheduler.takes(together=COSTS_S)
    scheduler.share_together(TRIAL_STEPS)
    scheduler.takes(together=PAYS_S)
    assert scheduler.share_together(TRIAL_STEPS) > 0.9


def test_every_thread_finds_out_for_itself(new_thread: Callable[[], Scheduler]) -> None:
    """Each runs on a core of its own, whose other hyperthread may be busy or not."""
    one, other = new_thread(), new_thread()
    one.share_together(20 * TRIAL_STEPS)
    other.takes(together=COSTS_S)
    other.share_together(20 * TRIAL_STEPS)
    assert one.share_together(CLOCK_STEPS * (TRIAL_TURNS // 2)) > 0.8


def test_lanes_that_were_not_full_tell_nothing_of_the_companion(scheduler: Scheduler) -> None:
    for turn in range(10 * TRIAL_TURNS):
        scheduler.takes(together=PAYS_S, vectors=STEP_S if turn % TRIAL_TURNS else 2 * STEP_S)
        scheduler.advance([ENDLESS] * (LANES - 1), CLOCK_STEPS)
    scheduler.takes(together=PAYS_S)
    assert scheduler.share_together(TRIAL_STEPS) > 0.9


# -- bounds
@pytest.mark.parametrize("chains", [1, 3, 4, 5, 40])
@pytest.mark.parametrize("max_seconds", [0.0, 0.01, 1.25])
def test_it_ends_at_the_first_look_at_the_clock_after_its_time(
    scheduler: Scheduler, chains: int, max_seconds: float
) -> None:
    began = scheduler.now
    made = scheduler.advance([ENDLESS] * chains, 2**62, max_seconds)
    assert sum(made) > 0
    assert max_seconds <= scheduler.now - began < max_seconds + 2 * CLOCK_STEPS * STEP_S


@pytest.mark.parametrize("max_seconds", [-math.inf, -1.0])
def test_less_time_than_none_is_none(scheduler: Scheduler, max_seconds: float) -> None:
    assert 1 <= sum(scheduler.advance([ENDLESS], 2**62, max_seconds)) <= 2 * CLOCK_STEPS


def test_the_clock_is_looked_at_seldom(scheduler: Scheduler) -> None:
    """A look costs as much as a tenth of a step, and a slice is short."""
    for remaining in ([ENDLESS] * LANES, [ENDLESS], [3] * 100_000):
        before = scheduler.count("looks")
        done = sum(scheduler.advance(remaining, 50 * CLOCK_STEPS))
        assert scheduler.count("looks") - before <= 2 + done / (CLOCK_STEPS - 2 * LANES)


# -- who goes first
def test_chains_with_as_much_left_go_in_the_order_of_the_list(scheduler: Scheduler) -> None:
    made = scheduler.advance([1000] * 20, LANES * 500, in_order=False)
    assert made == [500] * LANES + [0] * 15


@pytest.mark.parametrize("chains", [6, 1000])
def test_lanes_are_dealt_again_but_seldom(scheduler: Scheduler, chains: int) -> None:
    every = DEAL_STEPS + DEAL_STEPS_PER_CHAIN * chains
    before = scheduler.count("deals")
    made = scheduler.advance([ENDLESS] * chains, 10 * every, in_order=False)
    assert 9 <= scheduler.count("deals") - before <= 10
    assert sum(steps > 0 for steps in made) == min(chains, 10 * LANES)


def test_what_is_in_order_is_never_dealt_and_what_has_a_lane_and_runs_only_once(scheduler: Scheduler) -> None:
    before = scheduler.count("deals")
    scheduler.advance([ENDLESS] * 100, 10 * DEAL_STEPS)
    assert scheduler.count("deals") == before
    scheduler.advance([ENDLESS] * (LANES - 1), 10 * DEAL_STEPS, in_order=False)
    assert scheduler.count("deals") == before + 1


def test_of_chains_that_have_a_lane_each_rests_in_its_turn(scheduler: Scheduler) -> None:
    scheduler.takes(together=COSTS_S)
    made = scheduler.advance([ENDLESS] * LANES, 100 * DEAL_STEPS, in_order=False)
    assert max(made) - min(made) <= 2 * DEAL_STEPS


def test_chains_that_end_make_room_and_the_others_keep_their_order(scheduler: Scheduler) -> None:
    """The last steps of a budget go to the first chains: they show which those are."""
    assert scheduler.advance([10, 900, 20, 900, 30], 10 * 5 + 10 * 4 + 10 * 3 + 1) == [10, 31, 20, 30, 30]
    assert scheduler.advance([10, *[900] * 5], 10 * 5 + 3) == [10, 11, 11, 11, 10, 0]


def test_as_few_lanes_as_hold_all_chains_are_moved(scheduler: Scheduler) -> None:
    for chains, width in [(1, "alone"), (2, "vectors"), (4, "vectors"), (5, "together")]:
        before = scheduler.count(f"{width}_made")
        scheduler.advance([100] * chains, ENDLESS)
        assert scheduler.count(f"{width}_made") == before + 100
