"""The worker ends leases: completed, failed, released. Group commit toward the orchestrator.

With nothing in flight a report goes at once; whatever ends meanwhile goes together in the next. While chains are in
work, messages keep a distance: each costs both sides as much as the bookkeeping of dozens of jobs, and on one machine
the lanes would pay for it. The last one never waits: nobody who sends one job after the other pays.

A report is repeated until it is answered, the same answer each time; every verdict ends the lease here. A batch that an
orchestrator refuses outright is sent again item by item, and what is refused alone is put in as failed: one bad report
cannot block the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import islice

from dynwork.clock import Clock, wait_for_event
from dynwork.errors import RefusedError, UnavailableError
from dynwork.wire import Failure, ReportAsk, ReportReply
from dynwork.worker.contact import Backoff, Contact
from dynwork.worker.desk import Desk
from dynwork.worker.holding import Held, Verb
from dynwork.worker.slices import DETAIL_CHARS_MAX

BATCH_MAX = 2000
"""Reports in one message at most."""
TIMEOUT_S = 5.0
APART_S = 0.1
"""While chains are in work, so long from one message to the next at least, seconds."""
BACKOFF_S_MAX = 1.0


class Reporting:
    """The conversation ``POST /internal/report``."""

    def __init__(self, desk: Desk, contact: Contact, clock: Clock, uniform: Callable[[], float]) -> None:
        self._desk = desk
        self._contact = contact
        self._clock = clock
        self._next_at = -math.inf
        self._backoff = Backoff(uniform, BACKOFF_S_MAX)

    async def run(self) -> None:
        """Report whatever ends, until cancelled."""
        while True:
            self._desk.reports.clear()
            batch = list(islice(self._desk.holding.unreported, BATCH_MAX))
            if not batch:
                await self._desk.reports.wait()
            elif (early_s := self._early_s()) > 0:
                await wait_for_event(self._clock, self._desk.reports, early_s)
            elif await self._send(batch):
                self._backoff.reset()
            else:
                await self._contact.pause(self._backoff.next_s())

    def _early_s(self) -> float:
        """Return how long the next message is to be held back, seconds; not at all when no chain is in work."""
        return self._next_at - self._clock.monotonic() if self._desk.holding.in_work else 0.0

    async def _send(self, batch: Sequence[Held]) -> bool:
        """Send reports; say whether any of them is settled by that."""
        self._next_at = self._clock.monotonic() + APART_S
        try:
            reply = await self._contact.call("/internal/report", ReportReply, self._message(batch), TIMEOUT_S)
        except UnavailableError:
            return False
        except RefusedError as error:
            if len(batch) > 1:
                return await self._send_one_by_one(batch)
            self._desk.refused(batch[0], f"{error.code}: {error.detail}")
            return True
        return self._desk.judged(reply.results) > 0

    async def _send_one_by_one(self, batch: Sequence[Held]) -> bool:
        for count, held in enumerate(batch):
            if not await self._send([held]):
                return count > 0
        return True

    def _message(self, batch: Sequence[Held]) -> ReportAsk:
        by_verb: dict[Verb, list[Held]] = {verb: [] for verb in Verb}
        failed = []
        for held in batch:
            assert held.ending is not None
            by_verb[held.ending.verb].append(held)
            if held.ending.verb is Verb.FAILED:
                code, detail = held.ending.code, held.ending.detail[:DETAIL_CHARS_MAX]
                failed.append(Failure(job_id=held.job_id, epoch=held.epoch, code=code, detail=detail))
        return ReportAsk(
            worker_id=self._desk.identity.worker_id,
            incarnation=self._desk.identity.incarnation,
            completed=[held.checkpoint for held in by_verb[Verb.COMPLETED]],
            failed=failed,
            released=[held.checkpoint for held in by_verb[Verb.RELEASED]],
        )
