"""What pages that watch are shown: one source for all of them, asked once a second, and only while somebody watches.

The numbers are everybody's; the latest results are read once for each owner whose pages watch, when the tail tells that
some ended. Of a flood only the newest are told: who must not miss one follows ``GET /results``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from pydantic import TypeAdapter

from dynwork import errors, logs
from dynwork.api.gateway import Gateway
from dynwork.api.tail import Tail, Waiter
from dynwork.clock import Clock
from dynwork.wire import FleetReply, ResultsReply, ResultView, StatsReply

log = logs.get("dynwork.api.board")

WATCHERS_MAX = 200
"""Pages that may watch at the same time; beyond: 503."""
LOOK_S = 1.0
"""How often is looked while somebody watches, seconds."""
READ_MAX = 1000
"""Results read at once."""
TOLD_MAX = 20
"""Of many results at once the newest that are told."""

STATS, FLEET, RESULTS, TROUBLE = "stats", "fleet", "results", "trouble"
"""What is shown: names of events."""

_RESULTS = TypeAdapter(list[ResultView])


@dataclass(eq=False, slots=True)
class _Feed:
    """The results of one owner, or of everybody."""

    waiter: Waiter
    place: ExitStack
    after: int | None = None
    watchers: int = 0
    shown: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class Watcher:
    """One page: ``bell`` rings when something changed, :meth:`news` is what."""

    bell: asyncio.Event
    _sources: tuple[dict[str, str], ...]
    _told: dict[str, str] = field(default_factory=dict)

    def news(self) -> list[tuple[str, str]]:
        """Return names and values, as JSON, of what this page was not told yet; after trouble the numbers again."""
        shown = {name: value for source in self._sources for name, value in source.items()}
        if TROUBLE not in shown and TROUBLE in self._told:
            self._told.pop(STATS, None)
        fresh = [(name, value) for name, value in shown.items() if self._told.get(name) != value]
        self._told.clear()
        self._told.update(shown)
        return fresh


class Board:
    """Looks (:meth:`run`) for all who watch."""

    def __init__(self, gateway: Gateway, tail: Tail, clock: Clock) -> None:
        self._gateway = gateway
        self._tail = tail
        self._clock = clock
        self._numbers: dict[str, str] = {}
        self._feeds: dict[str | None, _Feed] = {}
        self._bells: set[asyncio.Event] = set()
        self._wanted = asyncio.Event()

    @property
    def closed(self) -> bool:
        """Whether the role stops: nobody watches any longer."""
        return self._tail.stopping

    @contextmanager
    def watching(self, owner: str | None) -> Generator[Watcher]:
        """Watch the numbers, and the results of ``owner`` (``None``: everybody's). Raises ``UnavailableError``."""
        if len(self._bells) >= WATCHERS_MAX:
            raise errors.UnavailableError(f"{len(self._bells)} pages watch this API instance: try another, or later")
        feed = self._feeds.get(owner) or self._open(owner)
        watcher = Watcher(asyncio.Event(), (feed.shown, self._numbers))
        feed.watchers += 1
        self._bells.add(watcher.bell)
        self._wanted.set()
        try:
            yield watcher
        finally:
            self._bells.remove(watcher.bell)
            feed.watchers -= 1
            if not feed.watchers:
                del self._feeds[owner]
                feed.place.close()

    def ring(self) -> None:
        """Let everybody look."""
        for bell in self._bells:
            bell.set()

    async def run(self) -> None:
        """Look until cancelled, while anybody watches."""
        while True:
            if not self._bells:
                self._numbers.clear()
                self._wanted.clear()
                await self._wanted.wait()
            try:
                await self._look()
                if self._numbers.pop(TROUBLE, None):
                    self.ring()
            except errors.DynworkError as error:
                log.warning("nothing_to_show", code=error.code)
                self._show(self._numbers, TROUBLE, f'{{"code":"{error.code}"}}')
            await self._clock.sleep(LOOK_S)

    async def _look(self) -> None:
        stats = await self._gateway.call("GET", "/internal/stats", StatsReply)
        fleet = await self._gateway.call("GET", "/internal/fleet", FleetReply)
        self._show(self._numbers, STATS, stats.stats.model_dump_json())
        self._show(self._numbers, FLEET, fleet.fleet.model_dump_json())
        for feed in list(self._feeds.values()):
            await self._read(feed)

    async def _read(self, feed: _Feed) -> None:
        if feed.after is None:
            feed.after = await self._tail.position()
        if not feed.waiter.bell.is_set():
            return
        feed.waiter.bell.clear()
        scope: dict[str, str | int] = {} if feed.waiter.owner is None else {"owner": feed.waiter.owner}
        try:
            page = await self._gateway.call(
                "GET", "/internal/results", ResultsReply, params={**scope, "after": feed.after, "limit": READ_MAX}
            )
        except errors.CursorExpiredError:
            feed.after = None
            return
        feed.after = page.next
        if len(page.results) == READ_MAX:
            feed.after = None  # more came than is worth showing: go on from the newest
        if page.results:
            self._show(feed.shown, RESULTS, _RESULTS.dump_json(page.results[-TOLD_MAX:]).decode())

    def _show(self, where: dict[str, str], name: str, value: str) -> None:
        if where.get(name) != value:
            where[name] = value
            self.ring()

    def _open(self, owner: str | None) -> _Feed:
        feed = _Feed(Waiter(owner=owner), ExitStack())
        feed.place.enter_context(self._tail.place(feed.waiter))
        self._feeds[owner] = feed
        return feed
