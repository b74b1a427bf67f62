"""What each command of a round does, said once and plainly: the heart of the reference store.

A :class:`Transaction` carries out commands on books that nobody else sees, one after the other, by the rules of
:mod:`dynwork.orchestrator.core`; whoever made it keeps the books or drops them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from dynwork.errors import (
    DynworkError,
    JobFinishedError,
    JobNotDeadError,
    KeyReusedError,
    NotFoundError,
    QueueFullError,
)
from dynwork.orchestrator.core import machine
from dynwork.orchestrator.core.instance import LEAVING
from dynwork.orchestrator.core.job import Instant, Job, JobState, LeaseEnd, LeaseRef, Submission
from dynwork.orchestrator.core.leasing import Hand
from dynwork.orchestrator.core.machine import Verdict
from dynwork.orchestrator.core.worker import WorkerFacts, WorkerState, heard
from dynwork.orchestrator.store.commands import Ask, Cancel, Grant, Heartbeat, Held, Pulse, Report, Requeue
from dynwork.orchestrator.store.memory_books import Books, claim_order
from dynwork.orchestrator.store.values import Rules, Swept

LEASE_ENDS: dict[type[machine.Report], LeaseEnd] = {
    machine.Completed: LeaseEnd.COMPLETED,
    machine.Failed: LeaseEnd.FAILED,
    machine.Released: LeaseEnd.RELEASED,
}


class Transaction:
    """One ``now``, one set of books, any number of commands."""

    def __init__(self, books: Books, rules: Rules, now: Instant) -> None:
        self.books = books
        self.ended = 0
        self._rules = rules
        self._now = now
        self._queued_before = {job.job_id for job in books.jobs.values() if job.state is JobState.QUEUED}

    @property
    def claimable(self) -> int:
        """Jobs that wait and are due now, and did not wait before this transaction."""
        return sum(job.job_id not in self._queued_before for job in self._due())

    def report(self, report: Report) -> Verdict:
        """Let a worker end one of its leases."""
        job = self.books.jobs.get(report.held.job_id)
        if job is None:
            return Verdict.STALE
        verdict = machine.judge(job, _ref(report.held, report.incarnation), LEASE_ENDS[type(report.event)])
        if verdict is None:
            self._step(job, report.event)
            verdict = Verdict.ACCEPTED
        if verdict is Verdict.ACCEPTED:
            self._busy(report.worker_id)
        return verdict

    def heartbeat(self, beat: Heartbeat) -> Pulse:
        """Renew the worker's row; take its checkpoints; tell it what became of what it holds."""
        known = self.books.workers.get(beat.worker_id)
        if known is not None and known.facts.incarnation != beat.incarnation:
            return Pulse(stale=beat.holding)
        self._hear(beat.facts(known.facts if known else None))
        drain = self._draining(beat.worker_id)
        if not drain:
            self._renew(beat.holding, beat.incarnation)
        for held, checkpoint in beat.checkpoints:
            job = self.books.jobs.get(held.job_id)
            if job and job.state is JobState.LEASED and machine.holds(job, _ref(held, beat.incarnation)):
                self._step(job, checkpoint)
        fates = [(held, self._fate(held, beat.incarnation)) for held in beat.holding]
        again = () if drain else self._unlisted(beat.worker_id, beat.holding)
        if again or any(fate == "leased" for _, fate in fates):
            self._busy(beat.worker_id)
        return Pulse(
            cancelled=tuple(held for held, fate in fates if fate == "cancelled"),
            stale=tuple(held for held, fate in fates if fate == "stale"),
            grants=again,
            drain=drain,
        )

    def cancel(self, cancel: Cancel) -> Job | DynworkError:
        """End a job because its owner does not want it."""
        job = self.books.jobs.get(cancel.job_id)
        if job is None or cancel.owner not in (None, job.owner):
            return NotFoundError(f"there is no job {cancel.job_id}")
        if job.state is JobState.CANCELLED:
            return job
        if job.terminal:
            return JobFinishedError(f"job {cancel.job_id} is {job.state} already")
        return self._step(job, machine.Cancelled())

    def requeue(self, requeue: Requeue) -> Job | DynworkError:
        """Enter a new job in the place of a dead one, or find the one that was entered before."""
        dead = self.books.jobs.get(requeue.job_id)
        if dead is None or requeue.owner not in (None, dead.owner):
            return NotFoundError(f"there is no job {requeue.job_id}")
        if dead.state is not JobState.DEAD:
            return JobNotDeadError(f"job {requeue.job_id} is {dead.state}")
        for job in self.books.jobs.values():
            if job.requeued_from == dead.job_id:
                return job
        if requeue.new_id in self.books.jobs:
            return KeyReusedError("the job id was used before, for a different job")
        return self._enter(machine.submit(machine.successor(dead, requeue.new_id), self._now))

    def submit(self, submission: Submission) -> Job | DynworkError:
        """Enter a new job, or find the one that the submission repeats."""
        earlier = self.books.jobs.get(submission.job_id) or self._with_key(submission.owner, submission.key)
        if earlier is not None:
            if (earlier.owner, earlier.fingerprint) == (submission.owner, submission.fingerprint):
                return earlier
            return KeyReusedError("the idempotency key or job id was used before, for a different job")
        return self._enter(machine.submit(submission, self._now))

    def ask(self, ask: Ask) -> Grant:
        """Give a worker what it lost on the way, and as much new work as it can start soon."""
        worker_id, incarnation = ask.facts.worker_id, ask.facts.incarnation
        known = self.books.workers.get(worker_id)
        if known is not None and known.facts.incarnation != incarnation:
            self._expire(self.books.leases_of(worker_id))
        self._hear(ask.facts.after(known.facts if known else None))
        if self._draining(worker_id):
            return Grant(drain=True)
        listed = (*ask.holding, *ask.unreported)
        self._renew(listed, incarnation)
        again = self._unlisted(worker_id, listed)
        computing = [job for job in self.books.leases_of(worker_id) if _held(job) not in ask.unreported]
        hand = Hand(ask.facts.paces, [(job.kind, job.chain.remaining) for job in computing], self._rules.leasing)
        fresh = []
        for job in self._due():
            if ask.facts.kinds and job.kind not in ask.facts.kinds:
                continue
            if not hand.wants(job.kind):
                break
            hand.deal(job.kind, job.chain.remaining)
            fresh.append(self._step(job, machine.Leased(worker_id, incarnation)))
        if again or fresh:
            self._busy(worker_id)
        return Grant((*again, *fresh))

    def lose(self, worker_ids: Iterable[str], limit: int | None) -> Swept:
        """Give the workers up for lost and expire at most ``limit`` of their leases, in order of job id."""
        lost = []
        leases: list[Job] = []
        for worker_id in sorted(set(worker_ids) & self.books.workers.keys()):
            worker = self.books.workers[worker_id]
            if worker.state is not WorkerState.LOST:
                lost.append(worker_id)
            self.books.workers[worker_id] = replace(worker, state=WorkerState.LOST)
            leases += self.books.leases_of(worker_id)
        leases = sorted(leases, key=lambda job: job.job_id)[:limit]
        self._expire(leases)
        return Swept(len(leases), self.claimable, self.ended, tuple(lost))

    # -- the parts that they share
    def _enter(self, job: Job) -> Job | DynworkError:
        queued = sum(one.state is JobState.QUEUED for one in self.books.jobs.values())
        if not job.terminal and queued >= self._rules.queue_jobs_max:
            return QueueFullError(f"{queued} jobs are waiting already")
        self.books.submitted += 1
        return self._store(job)

    def _step(self, job: Job, event: machine.Event) -> Job:
        return self._store(machine.step(job, event, self._now, self._rules.retry))

    def _store(self, job: Job) -> Job:
        """Keep the job as it is now; one that has just ended gets the next place in the feed."""
        if job.terminal:
            self.ended += 1
            self.books.ended += 1
            self.books.completed += job.state is JobState.SUCCEEDED
            job = replace(job, position=self.books.ended)
        self.books.jobs[job.job_id] = job
        return job

    def _expire(self, leases: Iterable[Job]) -> None:
        for job in sorted(leases, key=lambda job: job.job_id):
            self._step(job, machine.Expired())

    def _due(self) -> list[Job]:
        waiting = (job for job in self.books.jobs.values() if job.state is JobState.QUEUED)
        return sorted((job for job in waiting if job.not_before <= self._now), key=claim_order)

    def _with_key(self, owner: str, key: str | None) -> Job | None:
        same = (job for job in self.books.jobs.values() if key is not None and (job.owner, job.key) == (owner, key))
        return next(same, None)

    def _hear(self, facts: WorkerFacts) -> None:
        """The worker is there. It is draining while its machine is on its way out, else ready."""
        known = self.books.workers.get(facts.worker_id)
        its_instance = self.books.instances.get(facts.instance_id or "")
        leaving = facts.notice is not None or (its_instance is not None and its_instance.state in LEAVING)
        state = WorkerState.DRAINING if leaving else WorkerState.READY
        lease_s = self._rules.leasing.lease_s
        self.books.workers[facts.worker_id] = heard(facts, state, known, self._now, lease_s)

    def _draining(self, worker_id: str) -> bool:
        return self.books.workers[worker_id].state is WorkerState.DRAINING

    def _busy(self, worker_id: str) -> None:
        if worker_id in self.books.workers:
            worker = self.books.workers[worker_id]
            self.books.workers[worker_id] = replace(worker, busy_at=max(worker.busy_at, self._now))

    def _renew(self, listed: Iterable[Held], incarnation: str) -> None:
        """Leases that had merely expired go on."""
        for held in listed:
            job = self.books.jobs.get(held.job_id)
            if job and job.state is JobState.QUEUED and machine.holds(job, _ref(held, incarnation)):
                self._step(job, machine.Renewed())

    def _unlisted(self, worker_id: str, listed: Collection[Held]) -> tuple[Job, ...]:
        return tuple(job for job in self.books.leases_of(worker_id) if _held(job) not in listed)

    def _fate(self, held: Held, incarnation: str) -> str:
        """What became of a lease that the worker believes to have: leased, expired, cancelled or stale."""
        job = self.books.jobs.get(held.job_id)
        if job is None or (job.lease.epoch, job.lease.incarnation) != (held.epoch, incarnation):
            return "stale"
        if machine.holds(job, _ref(held, incarnation)):
            return "leased" if job.state is JobState.LEASED else "expired"
        return "cancelled" if job.state is JobState.CANCELLED and job.lease.end is None else "stale"


def _ref(held: Held, incarnation: str) -> LeaseRef:
    return LeaseRef(held.job_id, held.epoch, incarnation)


def _held(job: Job) -> Held:
    return Held(job.job_id, job.lease.epoch)
