"""The job's transition table, met with every event in every state."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from dynwork.orchestrator.core.job import TERMINAL, Chain, Job, JobError, JobState, Lease, LeaseEnd, Submission
from dynwork.orchestrator.core.machine import (
    TRANSITIONS,
    Cancelled,
    Checkpointed,
    Completed,
    Event,
    Expired,
    Failed,
    IllegalTransitionError,
    Leased,
    Released,
    Renewed,
    step,
    submit,
)
from dynwork.orchestrator.core.retry import RetryPolicy

POLICY = RetryPolicy(attempts_max=3, losses_max=2, backoff_s=1.0)
LEASE = Lease(4, "w1", "w1/1")
NOW = 2000.0
QUEUED, LEASED, SUCCEEDED, DEAD, CANCELLED = JobState
EVERY_EVENT: tuple[Event, ...] = (
    Leased("w2", "w2/1"),
    Renewed(),
    Checkpointed(b"c", 50),
    Completed(b"c", 100),
    Failed("broken", "it broke"),
    Released(b"c", 50),
    Expired(),
    Cancelled(),
)


def job(state: JobState = LEASED, **changes: object) -> Job:
    made = Job(
        job_id="j",
        owner="ann",
        key=None,
        fingerprint="f",
        kind="k",
        priority=5,
        start=Chain(b"a", 1, 100),
        chain=Chain(b"b", 40, 100),
        state=state,
        not_before=1000.0,
        created_at=1000.0,
        lease=LEASE,
        attempts=1,
        losses=1,
        started_at=1500.0,
        completed_at=1900.0 if state in TERMINAL else None,
        position=7 if state in TERMINAL else None,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # names of fields, checked by replace


def after(event: Event, state: JobState = LEASED, **changes: object) -> Job:
    return step(job(state, **changes), event, NOW, POLICY)


# What each event makes of the job above: exactly these fields change. Pairs that are missing raise.
CLOSED = {end: replace(LEASE, end=end) for end in LeaseEnd}
FAILURE = {
    "state": QUEUED, "attempts": 2, "not_before": NOW + 1.0, "error": JobError("broken", "it broke"),
    "lease": CLOSED[LeaseEnd.FAILED],
}  # fmt: skip
SUCCESS = {
    "state": SUCCEEDED, "chain": Chain(b"c", 100, 100), "losses": 0, "completed_at": NOW,
    "lease": CLOSED[LeaseEnd.COMPLETED],
}  # fmt: skip
RELEASE = {"state": QUEUED, "chain": Chain(b"c", 50, 100), "losses": 0, "lease": CLOSED[LeaseEnd.RELEASED]}
CANCEL = {"state": CANCELLED, "completed_at": NOW}
EXPECTED: dict[tuple[JobState, type[Event]], dict[str, object]] = {
    (QUEUED, Leased): {"state": LEASED, "lease": Lease(5, "w2", "w2/1")},
    (QUEUED, Renewed): {"state": LEASED},
    (QUEUED, Completed): SUCCESS,
    (QUEUED, Failed): FAILURE,
    (QUEUED, Released): RELEASE,
    (QUEUED, Cancelled): CANCEL,
    (LEASED, Checkpointed): {"chain": Chain(b"c", 50, 100), "losses": 0},
    (LEASED, Completed): SUCCESS,
    (LEASED, Failed): FAILURE,
    (LEASED, Released): RELEASE,
    (LEASED, Expired): {"state": QUEUED, "losses": 2},
    (LEASED, Cancelled): CANCEL,
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(JobState, EVERY_EVENT)))
def test_each_event_in_each_state_does_what_the_table_says_or_raises(state: JobState, event: Event) -> None:
    expected = EXPECTED.get((state, type(event)))
    if expected is None:
        with pytest.raises(IllegalTransitionError):
            after(event, state)
    else:
        assert after(event, state) == replace(job(state), **expected)  # type: ignore[arg-type]


def test_the_table_has_exactly_the_pairs_that_are_tested_here() -> None:
    assert set(TRANSITIONS) == set(EXPECTED)
    assert {type(event) for event in EVERY_EVENT} == {event for _, event in TRANSITIONS}


def test_no_terminal_state_has_a_way_out() -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] in TERMINAL]


def test_every_outcome_in_the_table_can_be_reached() -> None:
    reached: dict[tuple[JobState, type[Event]], set[JobState]] = {pair: set() for pair in TRANSITIONS}
    for (state, kind), attempts, losses in itertools.product(TRANSITIONS, (0, 2), (0, 2)):
        for event in (*EVERY_EVENT, Completed(b"c", 99)):
            if type(event) is kind:
                reached[state, kind].add(after(event, state, attempts=attempts, losses=losses).state)
    assert reached == {pair: set(states) for pair, states in TRANSITIONS.items()}


@pytest.mark.parametrize("done", [0, 39, 40, 101])
@pytest.mark.parametrize("make", [Checkpointed, Released])
def test_a_checkpoint_that_is_not_ahead_or_passes_the_end_is_not_taken(
    make: type[Checkpointed] | type[Released], done: int
) -> None:
    taken = after(make(b"c", done))
    assert (taken.chain, taken.losses) == (Chain(b"b", 40, 100), 1)


@pytest.mark.parametrize("state", [QUEUED, LEASED])
@pytest.mark.parametrize("done", [0, 40, 99, 101])
def test_a_completion_that_is_not_at_the_end_is_an_error_of_the_work(state: JobState, done: int) -> None:
    failed = after(Completed(b"c", done), state)
    assert (failed.state, failed.attempts, failed.chain) == (QUEUED, 2, Chain(b"b", 40, 100))
    assert failed.error is not None
    assert failed.error.code == "incomplete_result"
    assert failed.lease.end is LeaseEnd.COMPLETED, "so a repetition of the report gets the same answer"


def test_the_last_attempt_ends_the_job() -> None:
    dead = after(Failed("broken", "it broke"), attempts=2)
    assert (dead.state, dead.attempts, dead.completed_at) == (DEAD, 3, NOW)
    assert dead.error == JobError("broken", "it broke")
    assert dead.not_before == 1000.0


def test_losses_in_a_row_beyond_the_bound_end_the_job_and_use_no_attempt() -> None:
    assert after(Expired(), losses=1).state is QUEUED
    dead = after(Expired(), losses=2)
    assert (dead.state, dead.attempts, dead.losses) == (DEAD, 1, 3)
    assert dead.error is not None
    assert dead.error.code == "worker_lost"


def test_success_leaves_no_error_of_earlier_attempts() -> None:
    assert after(Completed(b"c", 100), error=JobError("broken", "earlier")).error is None


def test_each_failure_waits_longer() -> None:
    delays = [after(Failed("broken", "", jitter=0.0), attempts=attempts).not_before - NOW for attempts in (0, 1)]
    assert delays == [0.5, 1.0]


def test_the_first_lease_starts_the_job_and_later_ones_do_not() -> None:
    first = after(Leased("w2", "w2/1"), QUEUED, lease=Lease(), started_at=None)
    assert (first.lease, first.started_at) == (Lease(1, "w2", "w2/1"), NOW)
    assert after(Leased("w2", "w2/1"), QUEUED).started_at == 1500.0


def _submission(done: int = 1, total: int = 100, **changes: object) -> Submission:
    made = Submission("j", "ann", "key", "k", 7, Chain(b"a", done, total), requeued_from="i")
    return replace(made, **changes)  # type: ignore[arg-type]  # names of fields, checked by replace


def test_a_submission_is_a_queued_job_that_may_start_now() -> None:
    made = submit(_submission(), NOW)
    assert (made.state, made.not_before, made.created_at) == (QUEUED, NOW, NOW)
    assert (made.started_at, made.completed_at, made.lease, made.attempts, made.losses) == (None, None, Lease(), 0, 0)
    assert (made.job_id, made.owner, made.key, made.kind, made.priority) == ("j", "ann", "key", "k", 7)
    assert made.start == made.chain == Chain(b"a", 1, 100)
    assert made.requeued_from == "i"


def test_a_submission_with_nothing_left_to_do_has_succeeded() -> None:
    made = submit(_submission(done=1, total=1), NOW)
    assert (made.state, made.started_at, made.completed_at) == (SUCCEEDED, NOW, NOW)


def test_the_fingerprint_tells_the_work_and_nothing_else() -> None:
    same = _submission(job_id="other", owner="bob", key=None, requeued_from=None)
    assert same.fingerprint == _submission().fingerprint
    different = [
        _submission(done=2),
        _submission(total=101),
        _submission(kind="l"),
        _submission(priority=6),
        _submission(chain=Chain(b"b", 1, 100)),
    ]
    assert len({one.fingerprint for one in [_submission(), *different]}) == 6
