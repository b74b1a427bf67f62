"""What this worker holds: the bookkeeping of its leases. Pure: no clock, no I/O, no waiting.

A lease comes with a grant, its chain advances, and it ends with a report that the orchestrator has judged, or because
the orchestrator took it away. Until then it is listed in every ask and heartbeat, so that the orchestrator can tell
what got lost on the way. Replies may overtake each other: a grant may come twice, or after its lease is over. Epochs of
a job only rise, so a memory of the last epoch per job tells such echoes; it is bounded, the oldest are forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from dynwork.wire import HELD_MAX, Checkpoint, HeldRef, LeasedJob

REMEMBERED_MAX = HELD_MAX
"""Leases that are over and still remembered: more than can end while one reply is on its way."""


class Verb(StrEnum):
    """How this worker ends a lease."""

    COMPLETED = "completed"
    FAILED = "failed"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Ending:
    """What is to be reported; ``code`` and ``detail`` say why the work failed."""

    verb: Verb
    code: str = ""
    detail: str = ""


@dataclass(slots=True, eq=False)
class Held:
    """One lease. ``(state, done)`` is the newest that came back from a lane: the checkpoint.

    ``acknowledged`` is the ``done`` that the orchestrator knows; ``order`` counts grants; ``gone``: not ours any more;
    ``alone``: it was in a batch that failed, and runs by itself from then on: the next failure names its culprit;
    ``passed_over``: it was in a batch and got no lane; ``ordered_at``: when it was taken away, on the clock's monotonic
    scale.
    """

    job_id: str
    epoch: int
    kind: str
    state: bytes
    done: int
    total: int
    priority: int
    order: int
    acknowledged: int
    ending: Ending | None = None
    alone: bool = False
    passed_over: bool = False
    gone: bool = False
    ordered_at: float | None = None

    @property
    def remaining(self) -> int:
        """The steps left."""
        return self.total - self.done

    @property
    def ref(self) -> HeldRef:
        """Its name on the wire."""
        return HeldRef.model_construct(job_id=self.job_id, epoch=self.epoch)

    @property
    def checkpoint(self) -> Checkpoint:
        """Where it stands, on the wire."""
        return Checkpoint.model_construct(job_id=self.job_id, epoch=self.epoch, state=self.state, done=self.done)


class Holding:
    """All leases of one worker, in the order of their grants."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self._unreported: dict[str, Held] = {}
        self._over: dict[str, int] = {}
        self._granted = 0

    def __len__(self) -> int:
        """Leases held, those with a report under way included."""
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held.values())

    @property
    def in_work(self) -> int:
        """Leases whose chains are to be advanced."""
        return len(self._held) - len(self._unreported)

    @property
    def unreported(self) -> Iterable[Held]:
        """Leases that ended here and whose report was not answered yet, in the order they ended."""
        return self._unreported.values()

    @property
    def active(self) -> Iterator[Held]:
        """Leases whose chains are to be advanced."""
        return (held for held in self if held.ending is None)

    def grant(self, job: LeasedJob) -> Held | None:
        """Take a lease; ``None`` for an echo: it, or a later epoch of the job, is held or over already.

        A higher epoch of a job that is held takes its place: the orchestrator has forgotten the old one.
        """
        present = self._held.get(job.job_id)
        known = max(self._over.get(job.job_id, 0), present.epoch if present else 0)
        if job.epoch <= known:
            return None
        if present is not None:
            self._end(present)
        self._granted += 1
        held = Held(
            job.job_id,
            job.epoch,
            job.kind,
            job.state,
            job.done,
            job.total,
            job.priority,
            order=self._granted,
            acknowledged=job.done,
        )
        self._held[job.job_id] = held
        return held

    def advance(self, held: Held, state: bytes, steps: int) -> None:
        """Take what came back from a lane. A chain at its end is completed."""
        if steps:
            held.state = state
            held.done += steps
        if held.remaining == 0:
            self.report(held, Ending(Verb.COMPLETED))

    def report(self, held: Held, ending: Ending) -> None:
        """End a lease from our side. The first ending stands; a lease that is gone needs none."""
        if held.ending is None and not held.gone:
            held.ending = ending
            self._unreported[held.job_id] = held

    def judged(self, ref: HeldRef) -> Held | None:
        """The report of this lease was answered, in whatever way: it is over. ``None`` if it was already."""
        held = self._unreported.get(ref.job_id)
        if held is None or held.epoch != ref.epoch:
            return None
        self._end(held)
        return held

    def drop(self, ref: HeldRef) -> Held | None:
        """The lease is not ours any more: forget it, report or not. ``None`` if it is over already."""
        held = self._held.get(ref.job_id)
        if held is None or held.epoch != ref.epoch:
            return None
        self._end(held)
        return held

    def checkpoints(self) -> list[Checkpoint]:
        """Return the present pair of every active chain that advanced since the last acknowledged heartbeat."""
        return [held.checkpoint for held in self.active if held.done > held.acknowledged]

    def acknowledge(self, checkpoints: Iterable[Checkpoint]) -> None:
        """The orchestrator has these: they need not be sent again."""
        for checkpoint in checkpoints:
            held = self._held.get(checkpoint.job_id)
            if held is not None and held.epoch == checkpoint.epoch:
                held.acknowledged = max(held.acknowledged, checkpoint.done)

    def _end(self, held: Held) -> None:
        held.gone = True
        del self._held[held.job_id]
        self._unreported.pop(held.job_id, None)
        self._over.pop(held.job_id, None)
        self._over[held.job_id] = held.epoch
        if len(self._over) > REMEMBERED_MAX:
            del self._over[next(iter(self._over))]
