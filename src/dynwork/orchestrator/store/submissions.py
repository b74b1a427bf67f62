"""Submissions: new jobs, or the ones that stand for them already."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, tuple_

from dynwork.errors import DynworkError, KeyReusedError, QueueFullError
from dynwork.orchestrator.core import machine
from dynwork.orchestrator.core.job import Job, JobState, Submission
from dynwork.orchestrator.store import tables, tally
from dynwork.orchestrator.store.batch import Batch
from dynwork.orchestrator.store.rows import SELECT_JOB, chunks, job_of

_c = tables.job.c
_BY_KEY = SELECT_JOB.where(
    tuple_(_c.owner, _c.key).in_(bindparam("keys", expanding=True)), _c.key.is_not(None)
).with_for_update()


def submit(batch: Batch, submissions: Sequence[Submission]) -> list[Job | DynworkError]:
    """Carry out the submissions, in order."""
    if not submissions:
        return []
    by_key = _stored_keys(batch, submissions)
    batch.lock_jobs(submission.job_id for submission in submissions)
    room = batch.rules.queue_jobs_max - tally.queued(batch.conn) - batch.queued_here
    answers: list[Job | DynworkError] = []
    for submission in submissions:
        key = (submission.owner, submission.key)
        standing = batch.jobs.get(submission.job_id)
        if standing is None and submission.key is not None:
            standing = by_key.get(key)
        if standing is not None:
            answers.append(_repeated(batch.jobs.get(standing.job_id, standing), submission))
            continue
        job = machine.submit(submission, batch.now)
        if job.state is JobState.QUEUED:
            if room <= 0:
                detail = f"{batch.rules.queue_jobs_max} jobs are queued already; try again later"
                answers.append(QueueFullError(detail, retry_after_s=5))
                continue
            room -= 1
        batch.add(job)
        if submission.key is not None:
            by_key[key] = job
        answers.append(job)
    return answers


def _repeated(standing: Job, submission: Submission) -> Job | DynworkError:
    if standing.owner == submission.owner and standing.fingerprint == submission.fingerprint:
        return standing
    if submission.key is not None and standing.key == submission.key and standing.owner == submission.owner:
        return KeyReusedError(f"the idempotency key {submission.key!r} was used for another job; choose a new one")
    return KeyReusedError(f"the job id {submission.job_id} was used for another job; choose a new one")


def _stored_keys(batch: Batch, submissions: Sequence[Submission]) -> dict[tuple[str, str | None], Job]:
    keys = {(submission.owner, submission.key) for submission in submissions if submission.key is not None}
    found: dict[tuple[str, str | None], Job] = {}
    for some in chunks(sorted(keys), 250):
        for row in batch.conn.execute(_BY_KEY, {"keys": some}):
            job = job_of(row)
            batch.take(job)
            found[job.owner, job.key] = job
    return found
