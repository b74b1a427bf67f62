"""Group commit toward the orchestrators: all that waits goes out in one call, and every request awaits its own batch.

Two senders take turns at one queue: while a batch is under way the next one fills, so an idle API sends at once and a
busy one sends large batches. A submission counts as pending from before its body is read until it is answered; the
number of those is bounded. A client that goes away changes nothing: what it submitted is sent all the same.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from dynwork import errors, logs
from dynwork.api.gateway import Gateway
from dynwork.api.metrics import Metrics
from dynwork.orchestrators import error_of
from dynwork.wire import NewJob, Submit, SubmitReply, Submitted

log = logs.get("dynwork.api.submissions")

SENDERS = 2
"""Batches in flight at most."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the queue; the timeout in seconds, for each orchestrator tried."""

    batch_max: int
    pending_max: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class _Waiting:
    ticket: int
    job: NewJob
    answer: asyncio.Future[str]

    def succeed(self, job_id: str) -> None:
        if not self.answer.done():  # its request may have been cancelled meanwhile
            self.answer.set_result(job_id)

    def fail(self, error: errors.DynworkError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Submissions:
    """The queue in front of the orchestrators, and its senders (:meth:`run`)."""

    def __init__(self, gateway: Gateway, limits: Limits, metrics: Metrics) -> None:
        self._gateway = gateway
        self._limits = limits
        self._metrics = metrics
        self._queue: deque[_Waiting] = deque()
        self._tickets = 0
        self._pending = 0
        self._arrived = asyncio.Event()
        metrics.pending.set_function(lambda: self._pending)

    @contextmanager
    def admitted(self, jobs: int = 1) -> Generator[None]:
        """Hold ``jobs`` places among the pending submissions. Raises ``UnavailableError`` if so many are not free.

        More than there are places are let in when nothing else is pending: else they could never be.
        """
        if self._pending and self._pending + jobs > self._limits.pending_max:
            raise errors.UnavailableError(f"{self._pending} submissions are pending in this API instance: try again")
        self._pending += jobs
        try:
            yield
        finally:
            self._pending -= jobs

    async def submit(self, job: NewJob) -> str:
        """Return the id under which ``job`` is durable: its own, or the first one's of the same key.

        Raises the refusal, or ``NoOrchestratorError``: then the outcome is unknown.
        """
        return await self._enter(job).answer

    async def submit_all(self, jobs: Sequence[NewJob]) -> list[str | errors.DynworkError]:
        """Submit many at once; return for each, in order, what :meth:`submit` returns or raises."""
        answers = [self._enter(job).answer for job in jobs]
        told: list[str | errors.DynworkError] = []
        for answer in await asyncio.gather(*answers, return_exceptions=True):
            if isinstance(answer, BaseException) and not isinstance(answer, errors.DynworkError):
                raise answer
            told.append(answer)
        return told

    def _enter(self, job: NewJob) -> _Waiting:
        waiting = _Waiting(self._tickets, job, asyncio.get_running_loop().create_future())
        self._tickets += 1
        self._queue.append(waiting)
        self._arrived.set()
        return waiting

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(SENDERS):
                tasks.create_task(self._send())

    async def _send(self) -> None:
        while True:
            while not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
            size = min(len(self._queue), self._limits.batch_max)
            await self._deliver([self._queue.popleft() for _ in range(size)])

    async def _deliver(self, batch: Sequence[_Waiting]) -> None:
        """Send ``batch`` and answer each of it; if it is refused as a whole, its halves: one bad item fails alone."""
        latest = self._tickets
        try:
            reply = await self._gateway.call(
                "POST",
                "/internal/submit",
                SubmitReply,
                body=Submit(jobs=[waiting.job for waiting in batch]),
                timeout_s=self._limits.timeout_s,
            )
        except errors.RefusedError as error:
            if len(batch) == 1:
                batch[0].fail(error)
                return
            middle = len(batch) // 2
            await self._deliver(batch[:middle])
            await self._deliver(batch[middle:])
        except errors.UnavailableError as error:
            for waiting in (*batch, *self._waiting_since_before(latest, error)):
                waiting.fail(error)
        else:
            self._answer(batch, reply.results)

    def _waiting_since_before(self, ticket: int, error: errors.UnavailableError) -> list[_Waiting]:
        """Take out those that waited all the while every orchestrator was tried in vain: longer waits help nobody."""
        given_up = []
        if isinstance(error, errors.NoOrchestratorError):
            while self._queue and self._queue[0].ticket < ticket:
                given_up.append(self._queue.popleft())
        return given_up

    def _answer(self, batch: Sequence[_Waiting], results: Sequence[Submitted]) -> None:
        self._metrics.batch_jobs.observe(len(batch))
        if len(results) != len(batch):
            log.error("submit_answers_do_not_match", sent=len(batch), answered=len(results))
            results = [Submitted()] * len(batch)
        for waiting, result in zip(batch, results, strict=True):
            if result.error is not None:
                waiting.fail(error_of(result.error))
            elif result.job_id is not None:
                waiting.succeed(result.job_id)
            else:
                waiting.fail(errors.UnavailableError("the orchestrator's answer makes no sense: repeat the request"))
