"""The fence: every combination of a job, its latest lease and a report that names a lease."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from dynwork.orchestrator.core.job import TERMINAL, Chain, Job, JobState, Lease, LeaseEnd, LeaseRef
from dynwork.orchestrator.core.machine import TRANSITIONS, Completed, Failed, Released, Verdict, holds, judge

REPORTS = {LeaseEnd.COMPLETED: Completed, LeaseEnd.FAILED: Failed, LeaseEnd.RELEASED: Released}
BASE = Job("j", "ann", None, "f", "k", 5, Chain(b"a", 1, 9), Chain(b"a", 1, 9), JobState.LEASED, 0.0, 0.0)
JOBS = list(itertools.product(JobState, (None, *LeaseEnd)))  # its state, how the latest lease was ended
REPORTED = list(itertools.product((4, 5, 6), ("w1/1", "w1/2"), LeaseEnd))  # epoch, incarnation, what is reported


def job(state: JobState, end: LeaseEnd | None) -> Job:
    return replace(BASE, state=state, lease=Lease(5, "w1", "w1/1", end))


@pytest.mark.parametrize(("state", "end"), JOBS)
def test_a_report_counts_only_from_the_latest_lease_that_is_not_ended(state: JobState, end: LeaseEnd | None) -> None:
    for epoch, incarnation, said in REPORTED:
        verdict = judge(job(state, end), LeaseRef("j", epoch, incarnation), said)
        if (epoch, incarnation) != (5, "w1/1"):
            assert verdict is Verdict.STALE, (epoch, incarnation, said)
        elif end is said:
            assert verdict is Verdict.ACCEPTED, "a repetition"
        elif state in TERMINAL:
            assert verdict is Verdict.OVER, said
        elif end is not None:
            assert verdict is Verdict.STALE, "ended by another report"
        else:
            assert verdict is None, "to be applied"
            assert (state, REPORTS[said]) in TRANSITIONS, "and the table knows how"


@pytest.mark.parametrize(("state", "end"), JOBS)
def test_what_is_to_be_applied_is_what_the_reporter_holds(state: JobState, end: LeaseEnd | None) -> None:
    for epoch, incarnation, said in REPORTED:
        ref = LeaseRef("j", epoch, incarnation)
        assert holds(job(state, end), ref) == (judge(job(state, end), ref, said) is None), (epoch, incarnation, said)


def test_a_job_that_was_never_leased_is_held_by_nobody() -> None:
    fresh = replace(BASE, state=JobState.QUEUED)
    assert judge(fresh, LeaseRef("j", 1, "w1/1"), LeaseEnd.COMPLETED) is Verdict.STALE
