"""The tail of the feed, as API instances follow it: what ended, whose ever it is, as soon as it is committed.

A follower for whom there is nothing is parked, before its first look. It looks again when something ended here, when
another orchestrator announces that something ended there, and each second in any case: a hint that is lost costs a
second.
"""

from __future__ import annotations

import asyncio

from dynwork.clock import Clock, wait_for_event
from dynwork.orchestrator.announcements import Announcements
from dynwork.orchestrator.store.port import Store
from dynwork.orchestrator.store.values import News, Tail

TAIL_MAX = 1000
"""Entries in one answer at most."""
LOOK_S = 1.0
"""How often a follower looks while it is parked, seconds."""


class Tails:
    """Answers those who follow the tail."""

    def __init__(self, store: Store, clock: Clock, announcements: Announcements) -> None:
        self._store = store
        self._clock = clock
        self._announcements = announcements
        self._parked: set[asyncio.Event] = set()
        self._stopping = False
        announcements.on(News.ENDED, self._wake)

    async def follow(self, after: int | None, wait_s: float) -> Tail:
        """Return what ended after this position, once anything did, within ``wait_s``; ``None``: where the tail is.

        Raises ``CursorExpiredError``, ``StoreUnavailableError``.
        """
        deadline = self._clock.monotonic() + wait_s
        wake = asyncio.Event()
        self._parked.add(wake)
        try:
            while True:
                wake.clear()
                tail = await self._store.tail(after, TAIL_MAX)
                left_s = deadline - self._clock.monotonic()
                if tail.next != after or left_s <= 0 or self._stopping:
                    return tail
                await wait_for_event(self._clock, wake, min(left_s, LOOK_S))
        finally:
            self._parked.remove(wake)

    def ended(self, count: int) -> None:
        """``count`` jobs have ended here."""
        if count:
            self._wake()
            self._announcements.tell(News.ENDED)

    def stop(self) -> None:
        """Answer everyone who is parked, and whoever asks from now on, at once."""
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        for wake in self._parked:
            wake.set()
