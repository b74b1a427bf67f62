"""Submissions: new jobs, or the ones that stand for them already."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, select, tuple_

from dynwork.errors import DynworkError, KeyReusedError, QueueFullError
from dynwork.orchestrator.core import machine
from dynwork.orchestrator.core.job import Job, JobState, Submission
from dynwork.orchestrator.store import tables, tally
from dynwork.orchestrator.store.batch import Batch
from dynwork.orchestrator.store.rows import chunks

_c = tables.job.c
_BY_KEY = select(_c.owner, _c.key, _c.job_id).where(
    tuple_(_c.owner, _c.key).in_(bindparam("keys", expanding=True)), _c.key.is_not(None)
)
_KEYS_MAX = 256

ByKey = dict[tuple[str, str | None], str]
"""The id of the job that stands for an (owner, key)."""


def with_keys(conn: Connection, submissions: Sequence[Submission]) -> ByKey:
    """Look up the jobs that stand for the keys of ``submissions``; a key never moves to another job."""
    keys = {(submission.owner, submission.key) for submission in submissions if submission.key is not None}
    found: ByKey = {}
    for some in chunks(sorted(keys), _KEYS_MAX):
        for row in conn.execute(_BY_KEY, {"keys": some}):
            found[row.owner, row.key] = row.job_id
    return found


def submit(batch: Batch, submissions: Sequence[Submission], by_key: ByKey) -> list[Job | DynworkError]:
    """Carry out the submissions, in order. What they name is locked, and so is what ``by_key`` names."""
    if not submissions:
        return []
    by_key = dict(by_key)
    left = room(batch)
    answers: list[Job | DynworkError] = []
    for submission in submissions:
        key = (submission.owner, submission.key)
        standing = batch.jobs.get(submission.job_id) or batch.jobs.get(by_key.get(key, ""))
        if standing is not None:
            answers.append(_repeated(standing, submission))
            continue
        job = machine.submit(submission, batch.now)
        if job.state is JobState.QUEUED:
            if left <= 0:
                answers.append(queue_full(batch))
                continue
            left -= 1
        batch.add(job)
        if submission.key is not None:
            by_key[key] = job.job_id
        answers.append(job)
    return answers


def room(batch: Batch) -> int:
    """Return how many jobs more may be queued; none if that is not above 0."""
    return batch.rules.queue_jobs_max - tally.queued(batch.conn) - batch.queued_here


def queue_full(batch: Batch) -> QueueFullError:
    """Return the refusal of one for which there is no room."""
    return QueueFullError(f"{batch.rules.queue_jobs_max} jobs are queued already; try again later", retry_after_s=5)


def _repeated(standing: Job, submission: Submission) -> Job | DynworkError:
    if standing.owner == submission.owner and standing.fingerprint == submission.fingerprint:
        return standing
    if submission.key is not None and standing.key == submission.key and standing.owner == submission.owner:
        return KeyReusedError(f"the idempotency key {submission.key!r} was used for another job; choose a new one")
    return KeyReusedError(f"the job id {submission.job_id} was used for another job; choose a new one")
