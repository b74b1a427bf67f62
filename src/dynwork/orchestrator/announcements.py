"""What orchestrators tell each other: hints, outside of any transaction, one for all of a kind that come together.

Whoever is told looks into the store; whoever misses a hint looks a second later by itself.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable

from dynwork.clock import Clock
from dynwork.errors import StoreUnavailableError
from dynwork.orchestrator.outages import Outages
from dynwork.orchestrator.store.port import Store
from dynwork.orchestrator.store.values import News

ANNOUNCE_S_MIN = 0.02
"""Shortest pause between two announcements of a kind, seconds."""


class Announcements:
    """Of one orchestrator, and what it hears from others. :meth:`announce` and :meth:`listen` must be running."""

    def __init__(self, store: Store, clock: Clock, outages: Outages, has_peers: Callable[[], bool]) -> None:
        """``has_peers``: whether there is another orchestrator to announce anything to."""
        self._store = store
        self._clock = clock
        self._outages = outages
        self._has_peers = has_peers
        self._untold: set[News] = set()
        self._anything = asyncio.Event()
        self._listeners: defaultdict[News, list[Callable[[], None]]] = defaultdict(list)

    def on(self, news: News, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever another orchestrator announces ``news``."""
        self._listeners[news].append(listener)

    def tell(self, news: News) -> None:
        """Let the others know, soon."""
        if self._has_peers():
            self._untold.add(news)
            self._anything.set()

    async def announce(self) -> None:
        """Announce what is to be told, for ever."""
        while True:
            await self._anything.wait()
            self._anything.clear()
            told, self._untold = sorted(self._untold), set()
            try:
                for news in told:
                    await self._store.announce(news)
            except StoreUnavailableError as error:
                self._outages.missed("announce", error)
            await self._clock.sleep(ANNOUNCE_S_MIN)

    async def listen(self) -> None:
        """Pass on what others announce, for ever."""
        await self._store.listen(self._heard)

    def _heard(self, news: News) -> None:
        for listener in self._listeners[news]:
            listener()
