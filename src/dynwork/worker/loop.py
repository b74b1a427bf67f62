"""The worker's life: calibrate; ask, run, report, beat; and at the end hand everything back.

To stop takes four steps: ask no more; let the lanes come to the end of their slice, where chains that are not
finished are released with what they have; beat once more, because a grant may be on its way to a worker that has gone;
report all of it. ``stop_s`` bounds the whole, also when no orchestrator answers: the leases expire then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from dynwork import logs
from dynwork.clock import Clock
from dynwork.errors import OrphanedError
from dynwork.worker import interruption
from dynwork.worker.asking import Asking
from dynwork.worker.contact import Contact
from dynwork.worker.desk import Desk
from dynwork.worker.heartbeat import Heartbeat
from dynwork.worker.interruption import Notices
from dynwork.worker.lanes import Lanes
from dynwork.worker.reporting import Reporting

log = logs.get("dynwork.worker")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a worker is made of."""

    desk: Desk
    contact: Contact
    lanes: Lanes
    asking: Asking
    heartbeat: Heartbeat
    reporting: Reporting


@dataclass(frozen=True, slots=True)
class Rules:
    """When a worker ends; durations in seconds.

    ``stop_s``: how long it may take to hand back what it holds. ``orphan_s``: how long no orchestrator may have served
    it; ``None``: for ever. ``notices``: where its machine tells of its own end, if it does.
    """

    stop_s: float
    orphan_s: float | None = None
    notices: Notices | None = None


async def run(parts: Parts, stop: asyncio.Event, clock: Clock, rules: Rules) -> None:
    """Work until ``stop``, then hand back what is held. Lanes must be calibrated.

    Raises ``OrphanedError`` (in an ``ExceptionGroup``) when no orchestrator has served it for too long.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            working = [tasks.create_task(parts.lanes.run()), tasks.create_task(parts.reporting.run())]
            talking = [
                tasks.create_task(parts.asking.run(parts.lanes.hungry)),
                tasks.create_task(parts.heartbeat.run()),
            ]
            if rules.orphan_s is not None:
                talking.append(tasks.create_task(_watch_contact(parts.contact, clock, rules.orphan_s)))
            if rules.notices is not None:
                talking.append(tasks.create_task(interruption.watch(rules.notices, parts.desk, clock)))
            await stop.wait()
            for task in talking:
                task.cancel()
            await _hand_back(parts, clock, rules.stop_s)
            for task in working:
                task.cancel()
    finally:
        await parts.lanes.close()


async def _watch_contact(contact: Contact, clock: Clock, orphan_s: float) -> None:
    """Wait until no orchestrator has served for ``orphan_s``."""
    while (left_s := orphan_s - contact.unserved_s) > 0:
        await clock.sleep(left_s)
    why = contact.trouble or "what they answered was of no use"
    raise OrphanedError(
        f"no orchestrator has served this worker for {orphan_s:.0f} s ({why}): it ends, with its machine"
    )


async def _hand_back(parts: Parts, clock: Clock, stop_s: float) -> None:
    desk = parts.desk
    desk.stop()
    log.info("stopping", worker_id=desk.identity.worker_id, held=len(desk.holding))
    await _within(clock, stop_s, _last_words(parts))
    log.info("stopped", worker_id=desk.identity.worker_id, not_handed_back=len(desk.holding))


async def _last_words(parts: Parts) -> None:
    await parts.heartbeat.beat()
    await parts.desk.empty.wait()


async def _within(clock: Clock, seconds: float, todo: Coroutine[Any, Any, None]) -> None:
    """Run ``todo`` for at most ``seconds`` of ``clock``."""
    async with asyncio.TaskGroup() as tasks:
        racers = [tasks.create_task(todo), tasks.create_task(clock.sleep(seconds))]
        await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
        for racer in racers:
            racer.cancel()
