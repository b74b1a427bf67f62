"""One round, one transaction: everything that waited, carried out in the order that the port promises."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from dynwork.errors import DynworkError, JobFinishedError, NotFoundError
from dynwork.orchestrator.core import machine
from dynwork.orchestrator.core.job import Instant, Job, JobState
from dynwork.orchestrator.store import leases, requeues, submissions
from dynwork.orchestrator.store.batch import Batch
from dynwork.orchestrator.store.claims import Queue
from dynwork.orchestrator.store.commands import Ask, Cancel, Heartbeat, Receipt, Round
from dynwork.orchestrator.store.values import Rules


def carry_out(conn: Connection, round_: Round, rules: Rules, now: Instant, shard: str) -> Receipt:
    """Carry out ``round_``; the caller commits, or rolls back if this raises."""
    batch = Batch(conn, rules, now, shard)
    by_key = submissions.with_keys(conn, round_.submissions)
    _lock(batch, round_, by_key.values())

    verdicts = [leases.report(batch, said) for said in round_.reports]
    pulses = [leases.heartbeat(batch, said) for said in round_.heartbeats]
    cancels = [_cancel(batch, cancel) for cancel in round_.cancels]
    requeued = requeues.requeue(batch, round_.requeues)
    submitted = submissions.submit(batch, round_.submissions, by_key)
    grants = []
    if round_.asks:
        batch.flush()
        queue = Queue(batch)
        grants = [leases.ask(batch, said, queue) for said in round_.asks]
    batch.close()
    return Receipt(
        verdicts=verdicts,
        pulses=pulses,
        cancels=[_as_closed(batch, answer) for answer in cancels],
        requeues=[_as_closed(batch, answer) for answer in requeued],
        submissions=[_as_closed(batch, answer) for answer in submitted],
        grants=grants,
        claimable=batch.claimable,
        ended=len(batch.ended),
    )


def _lock(batch: Batch, round_: Round, standing: Iterable[str]) -> None:
    """Lock what the round will touch, except new jobs and the queue: workers, instances, then all the jobs at once."""
    commands: list[Heartbeat | Ask] = [*round_.heartbeats, *round_.asks]
    holders = {said.worker_id: said.facts if isinstance(said, Ask) else said.facts(None) for said in commands}
    batch.lock_workers([*holders, *(said.worker_id for said in round_.reports)])
    batch.enter_workers(holders)
    batch.lock_instances(
        [worker.facts.instance_id for worker in batch.workers.values()]
        + [said.facts.instance_id for said in round_.asks]
    )
    named = leases.ids_held(commands)
    named.update(said.held.job_id for said in round_.reports)
    named.update(cancel.job_id for cancel in round_.cancels)
    named.update(name for one in round_.requeues for name in (one.job_id, one.new_id))
    named.update(submission.job_id for submission in round_.submissions)
    batch.lock_jobs(named.union(standing, batch.leased_to(holders)))


def _cancel(batch: Batch, cancel: Cancel) -> Job | DynworkError:
    job = batch.jobs.get(cancel.job_id)
    if job is None or cancel.owner not in (None, job.owner):
        return NotFoundError(f"there is no job {cancel.job_id}")
    if job.state is JobState.CANCELLED:
        return job
    if job.terminal:
        return JobFinishedError(f"the job {cancel.job_id} has ended as {job.state}; what has ended never changes")
    return batch.step(job.job_id, machine.Cancelled())


def _as_closed(batch: Batch, answer: Job | DynworkError) -> Job | DynworkError:
    """Return a job with the feed position it was given at the end of the round."""
    return batch.jobs.get(answer.job_id, answer) if isinstance(answer, Job) and answer.terminal else answer
