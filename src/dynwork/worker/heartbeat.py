"""The worker says that it lives, what it holds, and how far its chains are; and hears what is not its any more.

The orchestrator dictates how often. Only chains that advanced since the last *answered* heartbeat carry a checkpoint,
so one that was lost on the way costs nothing but its own interval. Nothing here waits for a lane or a parked ask.
"""

from __future__ import annotations

from collections.abc import Callable

from dynwork import logs
from dynwork.clock import Clock, wait_for_event
from dynwork.errors import RefusedError, UnavailableError
from dynwork.wire import HeartbeatAsk, HeartbeatReply
from dynwork.worker.contact import Backoff, Contact
from dynwork.worker.desk import Desk

BACKOFF_S_MAX = 1.0
TIMEOUT_S_MAX = 5.0

log = logs.get("dynwork.worker")


class Heartbeat:
    """The conversation ``POST /internal/heartbeat``."""

    def __init__(self, desk: Desk, contact: Contact, clock: Clock, uniform: Callable[[], float]) -> None:
        self._desk = desk
        self._contact = contact
        self._clock = clock
        self._backoff = Backoff(uniform, BACKOFF_S_MAX)

    async def run(self) -> None:
        """Beat until cancelled; sooner after a beat that nobody answered."""
        while True:
            due = await self._due()
            while not await self.beat():
                await self._contact.pause(min(self._backoff.next_s(), self._desk.heartbeat_s))
            self._backoff.reset()
            self._desk.metrics.heartbeat_lag.observe(self._clock.monotonic() - due)

    async def _due(self) -> float:
        """Return one interval from now, as it is dictated then: a shorter one must not wait for a longer to pass.

        Says when that was to be, which is a little earlier, on the clock's monotonic scale.
        """
        began = self._clock.monotonic()
        while (left_s := began + self._desk.heartbeat_s - self._clock.monotonic()) > 0 and not self._desk.urgent:
            self._desk.rhythm.clear()
            await wait_for_event(self._clock, self._desk.rhythm, left_s)
        self._desk.urgent = False
        return min(began + self._desk.heartbeat_s, self._clock.monotonic())

    async def beat(self) -> bool:
        """Send one heartbeat and obey the answer; say whether there was one."""
        message = self._message()
        timeout_s = min(self._desk.heartbeat_s, TIMEOUT_S_MAX)
        try:
            reply = await self._contact.call("/internal/heartbeat", HeartbeatReply, message, timeout_s)
        except (UnavailableError, RefusedError) as error:
            self._desk.metrics.heartbeat_failures.inc()
            if isinstance(error, RefusedError):
                log.error("heartbeat_refused", code=error.code, detail=error.detail)  # noqa: TRY400 - no defect of ours
            return False
        self._desk.holding.acknowledge(message.checkpoints)
        self._desk.drop(reply.cancelled, "cancelled")
        self._desk.drop(reply.stale, "stale")
        self._desk.obey(reply)
        return True

    def _message(self) -> HeartbeatAsk:
        me, holding, pace = self._desk.identity, self._desk.holding, self._desk.pace
        return HeartbeatAsk(
            worker_id=me.worker_id,
            incarnation=me.incarnation,
            capacity=pace.capacity,
            chain_speed=pace.chain_speed,
            paces=pace.told(),
            holding=[held.ref for held in holding],
            checkpoints=holding.checkpoints(),
            notice=self._desk.notice,
        )
