"""The commands that a round carries, and what each is answered: plain values, each with its rule.

How they are carried out together (one transaction, one ``now``, in which order) is promised by
:mod:`~dynwork.orchestrator.store.port`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dynwork.errors import DynworkError
from dynwork.orchestrator.core import machine
from dynwork.orchestrator.core.job import Job, Submission
from dynwork.orchestrator.core.machine import Verdict
from dynwork.orchestrator.core.worker import Paces, WorkerFacts, updated


# --- what is asked of a round ----------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Held:
    """A lease as its worker names it; the incarnation is the command's."""

    job_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Report:
    """A worker ends one lease: ``event`` says how. Answer: a :class:`Verdict`; an unknown job is ``stale``.

    ``accepted``, at first or repeated, also moves the worker's ``busy_at`` to ``now``. Nothing else of its row changes:
    only heartbeats and asks renew it.
    """

    worker_id: str
    incarnation: str
    held: Held
    event: machine.Report


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A worker lives, and this is all it holds (unacknowledged reports included). Answer: :class:`Pulse`.

    Renews the worker's row (``lease_until = now + lease_s``) and its rates, by kind
    (:func:`~dynwork.orchestrator.core.worker.updated`); its lanes are told by asks. A lease of the
    latest epoch that had merely expired goes on; then the checkpoints of current leases are taken, whether listed or
    not. Holding a lease, or being granted one again, moves ``busy_at`` to ``now``. A heartbeat of an incarnation that
    is not the worker's latest renews nothing and hears that all it holds is stale; a worker that the store does not
    know is registered. ``holding`` names no lease twice.

    Whoever is heard of is ``ready``, or ``draining`` if it is under ``notice`` or its instance is noticed, draining or
    ended. A draining worker keeps what is leased to it, but is given nothing: no new work, no lost grants, and what had
    expired stays expired (it is not told ``stale``: the release that the drain asks for still counts). So a worker that
    was found idle stays idle.
    """

    worker_id: str
    incarnation: str
    paces: Paces
    holding: tuple[Held, ...] = ()
    checkpoints: tuple[tuple[Held, machine.Checkpointed], ...] = ()
    notice: str | None = None

    def facts(self, known: WorkerFacts | None) -> WorkerFacts:
        """Return what is known of the worker after this, and was before (``None``: it was never heard of)."""
        if known is None:
            return WorkerFacts(self.worker_id, self.incarnation, self.paces, notice=self.notice)
        return replace(known, paces=updated(known.paces, self.paces), notice=self.notice or known.notice)


@dataclass(frozen=True, slots=True)
class Cancel:
    """The owner does not want the job. Answer: the job, or ``NotFoundError`` / ``JobFinishedError`` as a value.

    The owner ``None`` stands for everybody.
    """

    owner: str | None
    job_id: str


@dataclass(frozen=True, slots=True)
class Requeue:
    """A dead job is to be done after all, from its start, as the new job ``new_id``. Answer: that job, or an error.

    A dead job has one successor at most: if it has one, in whatever state, that one is the answer, whatever ``new_id``
    says. ``NotFoundError``; ``JobNotDeadError``; ``KeyReusedError`` if ``new_id`` is the id of another job;
    ``QueueFullError`` as for a submission. The successor has no idempotency key. The owner ``None`` stands for
    everybody.
    """

    owner: str | None
    job_id: str
    new_id: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A worker wants work. Answer: :class:`Grant`.

    Registers the worker or renews its row, as a heartbeat does. A new incarnation of a known worker loses the leases of
    the old one at once (they expire, in order of job id; the old process may still be heard as long as they were not
    given to another). What is listed in ``holding`` or ``unreported`` and had merely expired goes on. Leases of this
    incarnation that are in neither (by id and epoch) are granted again, in claim order and under the same epoch: the
    reply that carried them was lost. Then new work: chains for all lanes plus what starts within ``prefetch_s``
    (:class:`~dynwork.orchestrator.core.leasing.Hand`, over the steps remaining of what it holds less what is
    unreported), in claim order: priority, highest first; then ``not_before``; then job id; never before
    ``not_before``; only kinds that the worker knows. The first such job that there is no room for ends the grant, so
    that no kind can keep another waiting for ever. Any grant moves ``busy_at`` to ``now``. A draining worker gets
    nothing.
    """

    facts: WorkerFacts
    holding: tuple[Held, ...] = ()
    unreported: tuple[Held, ...] = ()

    @property
    def worker_id(self) -> str:
        """Who asks."""
        return self.facts.worker_id


@dataclass(frozen=True, slots=True)
class Round:
    """What is committed together. Answers come in the same order, in :class:`Receipt`."""

    reports: Sequence[Report] = ()
    heartbeats: Sequence[Heartbeat] = ()
    cancels: Sequence[Cancel] = ()
    requeues: Sequence[Requeue] = ()
    submissions: Sequence[Submission] = ()
    asks: Sequence[Ask] = ()


# --- what a round answers --------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Pulse:
    """The answer to a heartbeat.

    ``cancelled``: held jobs that the client cancelled under this very lease; ``stale``: every other held job that is
    not (any more) this worker's, be it that the worker's own report ended it; both in the order of ``holding``.
    ``grants``: leases of this incarnation that it did not list, sent again, in claim order.
    """

    cancelled: tuple[Held, ...] = ()
    stale: tuple[Held, ...] = ()
    grants: tuple[Job, ...] = ()
    drain: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to an ask: jobs as they stand after being leased. ``drain``: ask no more."""

    grants: tuple[Job, ...] = ()
    drain: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answers of a committed round.

    A submission is answered with the job that stands for it: the new one, or the earlier one with the same id or the
    same (owner, key) and fingerprint; ``KeyReusedError`` if the fingerprints (or the owners of one id) differ;
    ``QueueFullError`` when it would be the job beyond ``queue_jobs_max`` queued ones. ``claimable`` counts jobs that
    are queued and due (``not_before <= now``) at the end of the round and were not queued before it; ``ended`` counts
    jobs that reached a terminal state in it.
    """

    verdicts: Sequence[Verdict] = ()
    pulses: Sequence[Pulse] = ()
    cancels: Sequence[Job | DynworkError] = ()
    requeues: Sequence[Job | DynworkError] = ()
    submissions: Sequence[Job | DynworkError] = ()
    grants: Sequence[Grant] = ()
    claimable: int = 0
    ended: int = 0
