"""The worker asks for work: one long-poll in flight, and only while lanes are about to be short of it.

An ask lists all that is held, so that a grant whose reply was lost is sent again. It waits in the orchestrator's hands
until there is work; heartbeats and reports go their own way meanwhile. After a grant the next ask lets the reports of
short chains go first: somebody waits for those. The first ask, and one after a failure, does not wait in the
orchestrator's hands: its answer tells at once that somebody is there.
"""

from __future__ import annotations

from collections.abc import Callable

from dynwork import logs
from dynwork.clock import Clock, wait_for_event
from dynwork.errors import RefusedError, UnavailableError
from dynwork.wire import LeaseAsk, LeaseReply
from dynwork.worker.contact import Backoff, Contact
from dynwork.worker.desk import Desk

WAIT_S = 20.0
"""How long an ask may be parked, seconds."""
GRACE_S = 5.0
"""How much longer its reply may take, seconds."""
BACKOFF_S_MAX = 5.0
EARLY_S = 0.5
"""An empty reply that came sooner than this was not parked: not to be answered with another ask at once, seconds."""
GIVE_WAY_S = 0.005
"""How long, after a grant, the next ask lets reports go first, seconds; far less than what a worker prefetches."""
HELD_MAX = 10_000
"""With so many leases held (reports not answered, mostly) no more are asked for: messages stay within their bounds."""

log = logs.get("dynwork.worker")


class Asking:
    """The conversation ``POST /internal/lease``."""

    def __init__(self, desk: Desk, contact: Contact, clock: Clock, uniform: Callable[[], float]) -> None:
        self._desk = desk
        self._contact = contact
        self._clock = clock
        self._backoff = Backoff(uniform, BACKOFF_S_MAX)

    async def run(self, hungry: Callable[[], bool]) -> None:
        """Ask whenever ``hungry`` says so, until cancelled."""
        desk = self._desk
        while True:
            desk.room.clear()
            if hungry() and not desk.handing_back and len(desk.holding) < HELD_MAX:
                await self._ask()
            else:
                await desk.room.wait()

    async def _ask(self) -> None:
        began = self._clock.monotonic()
        wait_s = WAIT_S if self._contact.trouble is None else 0.0
        try:
            reply = await self._contact.call("/internal/lease", LeaseReply, self._message(wait_s), wait_s + GRACE_S)
        except (UnavailableError, RefusedError) as error:
            if isinstance(error, RefusedError):
                log.error("ask_refused", code=error.code, detail=error.detail)  # noqa: TRY400 - no defect of ours
            await self._contact.pause(self._backoff.next_s())
            return
        self._desk.obey(reply)
        if reply.grants:
            self._backoff.reset()
            await wait_for_event(self._clock, self._desk.reports, GIVE_WAY_S)
        elif self._clock.monotonic() - began >= min(EARLY_S, wait_s):
            self._backoff.reset()
        else:
            await self._contact.pause(self._backoff.next_s())

    def _message(self, wait_s: float) -> LeaseAsk:
        me, holding, pace = self._desk.identity, self._desk.holding, self._desk.pace
        return LeaseAsk(
            worker_id=me.worker_id,
            incarnation=me.incarnation,
            capacity=pace.capacity,
            chain_speed=pace.chain_speed,
            lanes=me.lanes,
            paces=pace.told(),
            holding=[held.ref for held in holding],
            unreported=[held.ref for held in holding.unreported],
            wait_s=wait_s,
            kinds=list(me.kinds),
            instance_id=me.instance_id,
            host=me.host,
            pid=me.pid,
            path=me.path,
            started_at=me.started_at,
            notice=self._desk.notice,
        )
