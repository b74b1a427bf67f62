"""The desk where the worker's tasks meet: what is held, who waits, what was ordered, and the wakes between them.

Three conversations with the orchestrator (ask, heartbeat, report) put things on the desk and take things from it, the
lanes likewise; none of them ever waits for another. All run in one event loop, and nothing here awaits, so every method
is atomic. An event is a hint to look again; who looks clears it first, without an await in between.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dynwork import logs
from dynwork.clock import Clock
from dynwork.kinds import Kind
from dynwork.wire import HeartbeatReply, HeldRef, Judged, LeasedJob, LeaseReply
from dynwork.worker.holding import Ending, Held, Holding, Verb
from dynwork.worker.metrics import Metrics
from dynwork.worker.pace import Pace
from dynwork.worker.waiting import PREFETCH_S, Waiting

HEARTBEAT_S = 3.0
LEASE_S = 9.0
"""Until an orchestrator has dictated others."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this worker says it is. ``incarnation`` is this process; ``started_at`` in seconds since the epoch."""

    worker_id: str
    incarnation: str
    started_at: float
    lanes: int
    path: str
    kinds: tuple[str, ...]
    instance_id: str | None = None
    host: str | None = None
    pid: int | None = None


class Desk:
    """Everything that the tasks of one worker share."""

    def __init__(
        self, identity: Identity, kinds: Mapping[str, Kind], pace: Pace, metrics: Metrics, clock: Clock
    ) -> None:
        self.identity = identity
        self.kinds = kinds
        self.pace = pace
        self.metrics = metrics
        self.clock = clock
        self.holding = Holding()
        self.waiting = Waiting(lambda held: pace.share_s(held.kind, held.remaining, PREFETCH_S))
        self.heartbeat_s = HEARTBEAT_S
        self.lease_s = LEASE_S
        self.draining = False
        """An orchestrator said: hand everything back, ask no more."""
        self.stopping = False
        """This process is about to end: likewise."""
        self.notice: str | None = None
        """Why the machine is about to go, once it has said so: likewise."""
        self.urgent = False
        """The next heartbeat is due now."""
        self._ordered_at = 0.0
        self.work = asyncio.Event()
        """Chains may wait for a lane."""
        self.room = asyncio.Event()
        """Lanes may be short of work."""
        self.reports = asyncio.Event()
        """Reports may wait to be sent."""
        self.rhythm = asyncio.Event()
        """Heartbeats may be due at other times than before."""
        self.empty = asyncio.Event()
        """Nothing is held."""
        self.empty.set()
        self._log = logs.get("dynwork.worker").bind(worker_id=identity.worker_id)

    @property
    def handing_back(self) -> bool:
        """Whether every chain is to go back instead of on."""
        return self.draining or self.stopping or self.notice is not None

    # -- what orchestrators say
    def obey(self, reply: LeaseReply | HeartbeatReply) -> None:
        """Take over what a reply dictates, and the leases it grants."""
        self.heartbeat_s = min(max(reply.heartbeat_s, 0.05), 60.0)
        self.rhythm.set()
        self.lease_s = min(max(reply.lease_s, self.heartbeat_s), 3600.0)
        if reply.drain != self.draining:
            self.draining = reply.drain
            self._ordered_at = self.clock.monotonic()
            self._log.info("draining" if reply.drain else "not_draining", held=len(self.holding))
            self.room.set()
        self.grant(reply.grants)
        if self.handing_back:
            self.hand_back()

    def grant(self, jobs: Iterable[LeasedJob]) -> None:
        """Take leases; echoes of such that are held or over change nothing."""
        for job in jobs:
            held = self.holding.grant(job)
            if held is None:
                continue
            self._log.debug("granted", job_id=job.job_id, epoch=job.epoch, done=job.done, total=job.total)
            if job.kind not in self.kinds:
                self.fail(held, "unknown_kind", f"this worker has no kind {job.kind!r}; it has {', '.join(self.kinds)}")
            elif held.remaining <= 0:
                self.advance(held, held.state, 0)
            else:
                self.waiting.push(held)
        self.waiting.discard_gone()  # a later epoch may have taken the place of one that waited
        self._changed()

    def drop(self, refs: Iterable[HeldRef], why: str) -> None:
        """These leases are not ours any more. A chain in a lane is left out when its slice ends."""
        for ref in refs:
            if (held := self.holding.drop(ref)) is not None:
                held.ordered_at = self.clock.monotonic()
                self._log.debug(why, job_id=ref.job_id, epoch=ref.epoch)
        self.waiting.discard_gone()
        self._changed()

    def judged(self, results: Iterable[Judged]) -> int:
        """Take the verdicts on reports: whatever they are, those leases are over. Return how many were."""
        counts: Counter[tuple[str, str]] = Counter()
        for judged in results:
            held = self.holding.judged(judged)
            if held is not None and held.ending is not None:
                counts[held.ending.verb, judged.verdict] += 1
                event = held.ending.verb if judged.verdict == "accepted" else judged.verdict
                self._log.debug(event, job_id=held.job_id, epoch=held.epoch, done=held.done)
        for labels, count in counts.items():
            self.metrics.reports.labels(*labels).inc(count)
        self._changed()
        return counts.total()

    def refused(self, held: Held, why: str) -> None:
        """The orchestrator cannot take this report at all: it must not block the others for ever.

        The work has failed, then: a lease without an end would keep the job with this worker as long as it lives. If
        even that is refused, it is let go.
        """
        if held.ending is not None and held.ending.verb is not Verb.FAILED:
            held.ending = Ending(Verb.FAILED, "report_refused", why)
            self.reports.set()
        else:
            self.holding.drop(held.ref)
        self._log.error("report_refused", job_id=held.job_id, epoch=held.epoch, error=why)
        self._changed()

    # -- what lanes say
    def advance(self, held: Held, state: bytes, steps: int) -> None:
        """Take what came back from a lane."""
        self.holding.advance(held, state, steps)
        if held.ending is not None:
            self.reports.set()

    def fail(self, held: Held, code: str, detail: str) -> None:
        """The work of this chain failed."""
        self._log.warning("work_failed", job_id=held.job_id, epoch=held.epoch, code=code, detail=detail)
        self._end(held, Ending(Verb.FAILED, code, detail))

    def put_back(self, held: Held) -> None:
        """This chain has left its lane unfinished: let it wait, or hand it back."""
        ordered_at = held.ordered_at or (self._ordered_at if self.handing_back else None)
        if ordered_at is not None:
            self.metrics.leaving.observe(self.clock.monotonic() - ordered_at)
        if self.handing_back:
            self._end(held, Ending(Verb.RELEASED))
        elif not held.gone:
            self.waiting.push(held)
            self.work.set()

    def stop(self) -> None:
        """Hand everything back from now on: this process is about to end."""
        self.stopping = True
        self._ordered_at = self.clock.monotonic()
        self.hand_back()

    def take_notice(self, notice: str) -> None:
        """Hand everything back from now on, and let it be known: the machine is about to go."""
        self.notice = notice
        self._ordered_at = self.clock.monotonic()
        self._log.warning("under_notice", notice=notice, held=len(self.holding))
        self.urgent = True
        self.rhythm.set()
        self.room.set()
        self.hand_back()

    def hand_back(self) -> None:
        """Release every chain that waits; those in lanes follow when their slice ends."""
        for held in self.waiting.take_all():
            self._end(held, Ending(Verb.RELEASED))

    def _end(self, held: Held, ending: Ending) -> None:
        self.holding.report(held, ending)
        self.reports.set()

    def _changed(self) -> None:
        if self.waiting:
            self.work.set()
        self.room.set()
        if len(self.holding):
            self.empty.clear()
        else:
            self.empty.set()
