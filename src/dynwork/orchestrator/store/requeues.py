"""Requeues: a new job in the place of a dead one, and one only.

Whoever requeues a job holds its row, so two that do so come one after the other, and the second finds the first one's
job. It is looked for after the row was locked, and read without a lock: that it is there is all that matters.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, select

from dynwork.errors import DynworkError, JobNotDeadError, KeyReusedError, NotFoundError
from dynwork.orchestrator.core import machine
from dynwork.orchestrator.core.job import Job, JobState
from dynwork.orchestrator.store import tables
from dynwork.orchestrator.store.batch import Batch
from dynwork.orchestrator.store.commands import Requeue
from dynwork.orchestrator.store.rows import in_lists, job_of
from dynwork.orchestrator.store.submissions import queue_full, room

_c = tables.job.c
_SUCCESSORS = select(*_c).where(_c.requeued_from.in_(bindparam("ids", expanding=True)), _c.requeued_from.is_not(None))


def requeue(batch: Batch, requeues: Sequence[Requeue]) -> list[Job | DynworkError]:
    """Carry out the requeues, in order. The jobs that they name, old and new, are locked."""
    if not requeues:
        return []
    left = room(batch)
    successors = _successors(batch, requeues)
    answers: list[Job | DynworkError] = []
    for one in requeues:
        dead = batch.jobs.get(one.job_id)
        if dead is None or one.owner not in (None, dead.owner):
            answers.append(NotFoundError(f"there is no job {one.job_id}"))
        elif dead.state is not JobState.DEAD:
            answers.append(JobNotDeadError(f"the job {one.job_id} is {dead.state}; only a dead one can be requeued"))
        elif one.job_id in successors:
            standing = successors[one.job_id]
            answers.append(batch.jobs.get(standing.job_id, standing))
        elif one.new_id in batch.jobs:
            answers.append(KeyReusedError(f"the job id {one.new_id} was used for another job; choose a new one"))
        elif left <= 0:
            answers.append(queue_full(batch))
        else:
            left -= 1
            successors[one.job_id] = machine.submit(machine.successor(dead, one.new_id), batch.now)
            batch.add(successors[one.job_id])
            answers.append(successors[one.job_id])
    return answers


def _successors(batch: Batch, requeues: Sequence[Requeue]) -> dict[str, Job]:
    found: dict[str, Job] = {}
    for ids in in_lists(one.job_id for one in requeues):
        for job in map(job_of, batch.conn.execute(_SUCCESSORS, {"ids": ids})):
            found[job.requeued_from or ""] = job
    return found
