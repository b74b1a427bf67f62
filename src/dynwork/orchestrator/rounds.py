"""Group commit: everything that waits goes into ONE transaction, and every caller waits for its own.

Callers put a batch into the line of its kind (:mod:`.lines`) and await the answers. One task draws a round from the
lines, commits it and hands the answers back; while it commits, the next round gathers. So an idle orchestrator commits
at once and a busy one shares each fsync among hundreds of requests, without a timer anywhere.

* A batch whose caller has gone before it was drawn is skipped: an ask of a closed connection gets no lease.
* A round that fails is halved until the bad item stands alone; it fails alone, for the price of a few commits.
* If the store is away, the whole round fails at once. Nothing is retried here: callers repeat, commands may come twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar, cast

from dynwork import logs
from dynwork.clock import Clock
from dynwork.errors import DynworkError, StoreUnavailableError, UnavailableError
from dynwork.orchestrator.core.job import Job, Submission
from dynwork.orchestrator.core.machine import Verdict
from dynwork.orchestrator.lines import IN_ORDER, Answer, Batch, Item, Lines
from dynwork.orchestrator.metrics import Metrics
from dynwork.orchestrator.outages import Outages
from dynwork.orchestrator.store.commands import Ask, Cancel, Grant, Heartbeat, Pulse, Receipt, Report, Requeue, Round
from dynwork.orchestrator.store.port import Store

log = logs.get("dynwork.orchestrator.rounds")

T = TypeVar("T")

WAITING_MAX = 10_000
"""Batches of one kind that may wait; beyond, callers are refused with 503."""


class Rounds:
    """The way into the store, while :meth:`run` runs. All methods raise ``UnavailableError`` when it cannot serve."""

    def __init__(self, store: Store, clock: Clock, metrics: Metrics, outages: Outages, lines: Lines) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._outages = outages
        self._lines = lines
        self._committed: list[Callable[[Round, Receipt], None]] = []
        for kind in IN_ORDER:
            metrics.waiting.labels(kind.__name__.lower()).set_function(partial(lines.waiting, kind))

    def on_commit(self, listener: Callable[[Round, Receipt], None]) -> None:
        """Call ``listener`` after each committed round, before its callers go on: a nudge never trails its cause."""
        self._committed.append(listener)

    # -- what callers await
    async def report(self, reports: Sequence[Report]) -> Sequence[Verdict | DynworkError]:
        """Carry out the reports; an error stands for one that the store cannot take."""
        return cast("Sequence[Verdict | DynworkError]", await self._pass(Report, reports, len(reports)))

    async def heartbeat(self, beat: Heartbeat) -> Pulse:
        """Carry out one heartbeat."""
        return _sole(Pulse, await self._pass(Heartbeat, [beat], 1 + len(beat.checkpoints)))

    async def cancel(self, cancel: Cancel) -> Job:
        """Cancel one job. Raises ``NotFoundError`` or ``JobFinishedError``."""
        return _sole(Job, await self._pass(Cancel, [cancel], 1))

    async def requeue(self, requeue: Requeue) -> Job:
        """Give a dead job its successor. Raises ``NotFoundError``, ``JobNotDeadError`` or ``QueueFullError``."""
        return _sole(Job, await self._pass(Requeue, [requeue], 1))

    async def submit(self, submissions: Sequence[Submission]) -> Sequence[Job | DynworkError]:
        """Carry out the submissions; each is answered by the job that stands for it, or by why there is none."""
        return cast("Sequence[Job | DynworkError]", await self._pass(Submission, submissions, len(submissions)))

    async def ask(self, ask: Ask) -> Grant:
        """Carry out one ask for work, without waiting for any."""
        return _sole(Grant, await self._pass(Ask, [ask], 1 + ask.facts.lanes_max))

    async def _pass(self, kind: type[Item], items: Sequence[Item], weight: int) -> Sequence[Answer]:
        return await self._lines.join(kind, items, weight) if items else ()

    # -- the one task
    async def run(self) -> None:
        """Commit round after round, for ever."""
        try:
            while True:
                await self._lines.someone_waits.wait()
                self._lines.someone_waits.clear()
                while batches := self._lines.draw():
                    await self._serve(batches)
        finally:
            while batches := self._lines.draw():
                _refuse(batches)

    async def _serve(self, batches: Sequence[Batch]) -> None:
        try:
            answers = await self._carry_out([item for batch in batches for item in batch.items])
            start = 0
            for batch in batches:
                own = answers[start : start + len(batch.items)]
                start += len(batch.items)
                away = next((answer for answer in own if isinstance(answer, StoreUnavailableError)), None)
                if away is None:
                    batch.resolve(own)
                else:
                    batch.refuse(away)
        finally:
            _refuse(batches)  # whoever has no answer now will not get one

    async def _carry_out(self, items: Sequence[Item]) -> Sequence[Answer]:
        """Commit ``items``, which come in the order of a round; an error answers one that cannot be carried out."""
        round_ = _round_of(items)
        began, now = self._clock.monotonic(), self._clock.now()
        try:
            receipt = await self._store.commit(round_, now)
        except StoreUnavailableError as error:
            self._outages.met("round", error)
            return [error] * len(items)
        except Exception as error:  # whatever it is, only the item that causes it may suffer
            if len(items) > 1:
                return await self._halve(items, error)
            self._metrics.items_poisoned.inc()
            log.exception("item_failed", **_about(items[0]))
            return [DynworkError("the store cannot take this; the reason is in the orchestrator's log")]
        self._outages.over()
        self._metrics.round_seconds.observe(self._clock.monotonic() - began)
        self._metrics.round_items.observe(len(items))
        entered = [*receipt.requeues, *receipt.submissions]
        self._metrics.submitted.inc(sum(isinstance(job, Job) and job.created_at == now for job in entered))
        self._metrics.cancelled.inc(sum(isinstance(job, Job) and job.completed_at == now for job in receipt.cancels))
        for heed in self._committed:
            heed(round_, receipt)
        return [*receipt.verdicts, *receipt.pulses, *receipt.cancels, *entered, *receipt.grants]

    async def _halve(self, items: Sequence[Item], error: Exception) -> Sequence[Answer]:
        log.warning("round_failed", items=len(items), error=type(error).__name__)
        middle = len(items) // 2
        first = await self._carry_out(items[:middle])
        if isinstance(first[-1], StoreUnavailableError):
            return [*first, *[first[-1]] * (len(items) - middle)]
        return [*first, *await self._carry_out(items[middle:])]


def _round_of(items: Sequence[Item]) -> Round:
    return Round(
        reports=[item for item in items if isinstance(item, Report)],
        heartbeats=[item for item in items if isinstance(item, Heartbeat)],
        cancels=[item for item in items if isinstance(item, Cancel)],
        requeues=[item for item in items if isinstance(item, Requeue)],
        submissions=[item for item in items if isinstance(item, Submission)],
        asks=[item for item in items if isinstance(item, Ask)],
    )


def _about(item: Item) -> dict[str, str | int]:
    """Say in log fields what an item is about."""
    match item:
        case Report(worker_id=worker_id, held=held):
            return {"item": "report", "worker_id": worker_id, "job_id": held.job_id, "epoch": held.epoch}
        case Heartbeat(worker_id=worker_id):
            return {"item": "heartbeat", "worker_id": worker_id}
        case Ask(facts=facts):
            return {"item": "ask", "worker_id": facts.worker_id}
        case Cancel(job_id=job_id):
            return {"item": "cancel", "job_id": job_id}
        case Requeue(job_id=job_id):
            return {"item": "requeue", "job_id": job_id}
        case Submission(job_id=job_id):
            return {"item": "submission", "job_id": job_id}


def _sole(kind: type[T], answers: Sequence[Answer]) -> T:
    """Return the one answer there is. Raises it if it is an error."""
    (answer,) = answers
    if isinstance(answer, DynworkError):
        raise answer
    assert isinstance(answer, kind), answer
    return answer


def _refuse(batches: Sequence[Batch]) -> None:
    error = UnavailableError("this orchestrator is stopping; what was sent may have taken effect", retry_after_s=1)
    for batch in batches:
        batch.refuse(error)
