"""What workers say and ask: reports, heartbeats, asks for work.

A worker's row is locked before any of its jobs, by claims, reports, heartbeats, expiry and drain alike: whoever holds
that lock is alone with the worker's leases.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from enum import Enum, auto

from dynwork.orchestrator.core import machine
from dynwork.orchestrator.core.job import Job, JobState, LeaseEnd, LeaseRef
from dynwork.orchestrator.core.leasing import Hand
from dynwork.orchestrator.core.machine import Verdict
from dynwork.orchestrator.core.worker import Worker, WorkerFacts, WorkerState, heard
from dynwork.orchestrator.store.batch import Batch
from dynwork.orchestrator.store.claims import Queue, Waiting, claim_order
from dynwork.orchestrator.store.commands import Ask, Grant, Heartbeat, Held, Pulse, Report

_END_OF: dict[type[machine.Report], LeaseEnd] = {
    machine.Completed: LeaseEnd.COMPLETED,
    machine.Failed: LeaseEnd.FAILED,
    machine.Released: LeaseEnd.RELEASED,
}


def report(batch: Batch, said: Report) -> Verdict:
    """Apply one report, or say why it changes nothing."""
    job = batch.jobs.get(said.held.job_id)
    if job is None:
        return Verdict.STALE
    ref = LeaseRef(said.held.job_id, said.held.epoch, said.incarnation)
    verdict = machine.judge(job, ref, _END_OF[type(said.event)])
    if verdict is None:
        batch.step(job.job_id, said.event)
        verdict = Verdict.ACCEPTED
    if verdict is Verdict.ACCEPTED:
        _busy(batch, said.worker_id)
    return verdict


def heartbeat(batch: Batch, said: Heartbeat) -> Pulse:
    """Renew the worker's row, take its checkpoints, and tell it what became of what it holds."""
    known = batch.workers.get(said.worker_id)
    if known is not None and known.facts.incarnation != said.incarnation:
        return Pulse(stale=said.holding)
    drain = _heard(batch, said.facts(known.facts if known else None), known) is WorkerState.DRAINING
    if not drain:
        _renew(batch, said.holding, said.incarnation)
    for held, checkpoint in said.checkpoints:
        job = batch.jobs.get(held.job_id)
        if job is not None and job.state is JobState.LEASED and machine.holds(job, _ref(held, said.incarnation)):
            batch.step(held.job_id, checkpoint)
    fates = [(held, _fate(batch, held, said.incarnation)) for held in said.holding]
    again = () if drain else _unlisted(batch, said.worker_id, said.holding)
    if again or any(fate is _Fate.LEASED for _, fate in fates):
        _busy(batch, said.worker_id)
    return Pulse(
        cancelled=tuple(held for held, fate in fates if fate is _Fate.CANCELLED),
        stale=tuple(held for held, fate in fates if fate is _Fate.STALE),
        grants=again,
        drain=drain,
    )


def ask(batch: Batch, said: Ask, queue: Queue) -> Grant:
    """Register or renew the worker; grant again what it never received, then new work."""
    worker_id, incarnation = said.facts.worker_id, said.facts.incarnation
    known = batch.workers.get(worker_id)
    if known is not None and known.facts.incarnation != incarnation:
        for job_id in sorted(batch.leases[worker_id]):
            batch.step(job_id, machine.Expired())
        queue.renew()
    if _heard(batch, said.facts.after(known.facts if known else None), known) is WorkerState.DRAINING:
        return Grant(drain=True)
    listed = (*said.holding, *said.unreported)
    _renew(batch, listed, incarnation)
    again = _unlisted(batch, worker_id, listed)
    grants = (*again, *_claim(batch, said, queue))
    if grants:
        _busy(batch, worker_id)
    return Grant(grants)


def _claim(batch: Batch, said: Ask, queue: Queue) -> list[Job]:
    facts = said.facts
    unreported = {(held.job_id, held.epoch) for held in said.unreported}
    leased = (batch.jobs[job_id] for job_id in batch.leases[facts.worker_id])
    held = [(job.kind, job.chain.remaining) for job in leased if (job.job_id, job.lease.epoch) not in unreported]
    claimed: list[Job] = []
    while True:
        hand = Hand(facts.paces, held, batch.rules.leasing)
        for job in claimed:
            hand.deal(job.kind, job.chain.remaining)
        if facts.kinds and not any(map(hand.wants, facts.kinds)):
            return claimed  # the queue is not looked at for a worker that is full
        wanted = _wanted(facts.kinds, hand, queue)
        locked = queue.lock(wanted)
        claimed += [batch.step(job.job_id, machine.Leased(facts.worker_id, facts.incarnation)) for job in locked]
        if len(locked) == len(wanted):
            return claimed


def _wanted(kinds: Sequence[str], hand: Hand, queue: Queue) -> list[Waiting]:
    """Deal from the front of the queue until the hand is full."""
    wanted = []
    while (waiting := queue.peek(kinds)) is not None and hand.wants(waiting.kind):
        queue.pop(waiting)
        hand.deal(waiting.kind, waiting.remaining)
        wanted.append(waiting)
    return wanted


def _heard(batch: Batch, facts: WorkerFacts, known: Worker | None) -> WorkerState:
    """Renew the row. The worker is draining while its machine is on its way out, else ready."""
    leaving = facts.notice is not None or facts.instance_id in batch.leaving
    state = WorkerState.DRAINING if leaving else WorkerState.READY
    batch.put_worker(heard(facts, state, known, batch.now, batch.rules.leasing.lease_s))
    return state


def _busy(batch: Batch, worker_id: str) -> None:
    if worker_id in batch.workers:
        worker = batch.workers[worker_id]
        batch.put_worker(replace(worker, busy_at=max(worker.busy_at, batch.now)))


def _renew(batch: Batch, listed: Iterable[Held], incarnation: str) -> None:
    """Let leases that had expired go on, where the job was not given to another since."""
    for held in listed:
        job = batch.jobs.get(held.job_id)
        if job is not None and job.state is JobState.QUEUED and machine.holds(job, _ref(held, incarnation)):
            batch.step(held.job_id, machine.Renewed())


class _Fate(Enum):
    """What became of a lease that its worker believes to have."""

    LEASED = auto()
    EXPIRED = auto()
    CANCELLED = auto()
    STALE = auto()


def _fate(batch: Batch, held: Held, incarnation: str) -> _Fate:
    job = batch.jobs.get(held.job_id)
    if job is None or (job.lease.epoch, job.lease.incarnation) != (held.epoch, incarnation):
        return _Fate.STALE
    if machine.holds(job, _ref(held, incarnation)):
        return _Fate.LEASED if job.state is JobState.LEASED else _Fate.EXPIRED
    return _Fate.CANCELLED if job.state is JobState.CANCELLED and job.lease.end is None else _Fate.STALE


def _unlisted(batch: Batch, worker_id: str, listed: Iterable[Held]) -> tuple[Job, ...]:
    """Return the leases that the worker does not list, in claim order: the reply that carried them was lost."""
    known = {(held.job_id, held.epoch) for held in listed}
    jobs = sorted((batch.jobs[job_id] for job_id in batch.leases[worker_id]), key=claim_order)
    return tuple(job for job in jobs if (job.job_id, job.lease.epoch) not in known)


def _ref(held: Held, incarnation: str) -> LeaseRef:
    return LeaseRef(held.job_id, held.epoch, incarnation)


def ids_held(commands: Sequence[Heartbeat | Ask]) -> set[str]:
    """Return every job id that these commands name."""
    ids: set[str] = set()
    for command in commands:
        ids.update(held.job_id for held in command.holding)
        if isinstance(command, Ask):
            ids.update(held.job_id for held in command.unreported)
        else:
            ids.update(held.job_id for held, _ in command.checkpoints)
    return ids
