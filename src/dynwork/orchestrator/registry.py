"""The orchestrators that live: each says so in the store, and hears from it of the others; replies pass them on.

Callers were given some addresses to begin with; by replies they learn of the rest, of new ones, and, once its time has
run out, that one is no more. One that stops takes leave, and callers hear of that from the others at once.
"""

from __future__ import annotations

from dynwork import logs
from dynwork.clock import Clock
from dynwork.errors import StoreUnavailableError
from dynwork.orchestrator.outages import Outages
from dynwork.orchestrator.store.port import Store

log = logs.get("dynwork.orchestrator.registry")

TTL_S = 6.0
"""An orchestrator that has not been heard of for this long is not named any more, seconds."""


class Registry:
    """This orchestrator's place among all: :meth:`run` must be running."""

    def __init__(self, store: Store, clock: Clock, outages: Outages, url: str, holder: str) -> None:
        """``url``: how others reach it; ``holder``: a name that no other process has or had."""
        self._store = store
        self._clock = clock
        self._outages = outages
        self._url = url
        self._holder = holder
        self.living = [url]
        """The addresses of all that live, as of the latest look; its own is always among them."""

    def has_peers(self) -> bool:
        """Whether there are others."""
        return len(self.living) > 1

    async def run(self) -> None:
        """Be registered, for ever."""
        while True:
            await self.register()
            await self._clock.sleep(TTL_S / 3)

    async def register(self) -> None:
        """Say now that this one lives, and see who else does."""
        try:
            living = list(await self._store.register(self._url, self._holder, self._clock.now(), TTL_S))
        except StoreUnavailableError as error:
            self._outages.met("register", error)
            return
        self._outages.over()
        if living != self.living:
            log.info("orchestrators_changed", living=living)
        self.living = living

    async def leave(self) -> None:
        """Be named no more: for one that stops."""
        try:
            await self._store.deregister(self._holder)
        except StoreUnavailableError as error:  # then its time runs out
            self._outages.met("deregister", error)
