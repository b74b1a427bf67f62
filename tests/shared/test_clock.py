"""The clock disciplined to a server's: never backwards, no further than an answer proves, equal in the end."""

from hypothesis import given
from hypothesis import strategies as st

from dynwork.clock import DisciplinedClock
from dynwork.testing.orchestrator import StallClock

START = 1_000_000_000.0
NEAR = 1e-5
"""Equal, for sums of floats of this size."""


def begun(*, off_s: float = 0.0) -> tuple[StallClock, DisciplinedClock]:
    """Return the true time, and a clock that was told it and is ``off_s`` ahead of it."""
    base = StallClock(START + off_s)
    clock = DisciplinedClock(base)
    clock.now()
    return base, clock


async def test_until_it_is_corrected_it_tells_the_time_of_its_base() -> None:
    base, clock = begun()
    base.stall(5)
    assert clock.now() == base.now()
    assert clock.monotonic() == base.monotonic()
    base.stall(1)
    await clock.sleep(0)


def test_behind_the_server_it_steps_forward_and_says_how_far() -> None:
    base, clock = begun()
    clock.correct(START + 40, 0)
    assert clock.now() == START + 40
    assert clock.error_s == -40
    base.stall(2)
    assert clock.now() == START + 42


def test_ahead_of_the_server_it_runs_at_half_speed_until_they_are_equal() -> None:
    base, clock = begun()
    clock.correct(START - 10, 0)
    assert (clock.now(), clock.error_s) == (START, 10)
    base.stall(8)
    assert clock.now() == START + 4
    base.stall(12)
    assert clock.now() == START + 10, "the server's 0 and 20 seconds"
    base.stall(5)
    assert clock.now() == START + 15


def test_a_correction_under_way_is_taken_into_account_by_the_next() -> None:
    base, clock = begun()
    clock.correct(START - 10, 0)
    base.stall(10)
    clock.correct(START, 0)
    assert (clock.now(), clock.error_s) == (START + 5, 5)
    clock.correct(START + 5, 0)
    assert clock.error_s == 0
    base.stall(1)
    assert clock.now() == START + 6, "at full speed again"


def test_an_answer_that_took_long_corrects_no_further_than_what_it_proves() -> None:
    base, clock = begun()
    base.stall(30)  # between the question and the answer this process stood still
    clock.correct(START + 7, 30)
    assert (clock.now(), clock.error_s) == (START + 30, 0), "the server's time is between 7 and 37"
    clock.correct(START - 10, 30)
    assert clock.error_s == 10
    clock.correct(START + 35, 1)
    assert (clock.now(), clock.error_s) == (START + 35, -5)


def test_before_anyone_was_told_the_time_it_is_set_in_either_direction() -> None:
    base = StallClock(START)
    clock = DisciplinedClock(base)
    clock.correct(START - 3600, 0)
    assert clock.now() == START - 3600
    base.stall(1)
    assert clock.now() == START - 3599


@given(
    off_s=st.floats(-100, 100),
    answers=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1), st.floats(0, 2)), min_size=1, max_size=30),
)
def test_it_never_goes_backwards_and_comes_as_near_as_the_answers_allow(
    off_s: float, answers: list[tuple[float, float, float]]
) -> None:
    base, clock = begun(off_s=off_s)
    told = clock.now()
    for pause_s, before, after in answers:
        base.stall(pause_s + before + after)
        assert clock.now() >= told
        told = clock.now()
        server_time = base.now() - off_s - after  # it was read ``after`` seconds ago, ``before`` after the question
        clock.correct(server_time, before + after)
        assert clock.now() >= told
        told = clock.now()
        true = base.now() - off_s
        assert told >= true - after - NEAR
        base.stall(2 * max(clock.error_s, 0.0))
        true = base.now() - off_s
        assert -after - NEAR <= clock.now() - true <= before + NEAR
        told = clock.now()
