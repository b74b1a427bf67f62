"""The users of a cluster under chaos, in threads: they know its APIs, and nothing else of it.

Clients (:class:`~dynwork.testing.orders.Stream`) submit without an end and repeat what was not acknowledged; one client
an API never tries twice, and what it waited longest for an acknowledgement is measured; two readers follow the results
feed with a cursor. In the end the ledger demands for every acknowledged id one right result, and of both readers that
they saw each exactly once, in the same order.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import httpx

from dynwork.clock import SystemClock
from dynwork.testing.feed import Apis, Feed
from dynwork.testing.ledger import Ledger
from dynwork.testing.orders import Order, Stream, hand_in
from dynwork.testing.waiting import wait_until

READ_EVERY_S = 0.2
TRY_EVERY_S, TRY_AFTER_REFUSAL_S = 0.02, 0.1
"""How long a client that does not retry waits before its next job, seconds."""
ANSWERS_S = 180.0


def small_orders(per_s: float) -> Iterator[Order]:
    """Yield quick jobs of many sizes for ever, ``per_s`` of them a second at most."""
    pause = threading.Event()
    for number in itertools.count():
        pause.wait(1 / per_s)
        yield Order(b"small %d" % number, 1 + number % 40 * 50)


class Impatient:
    """A client that asks for one job after the other at one API, and gives each up at the first refusal."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._clock = SystemClock()
        self.accepted: dict[str, Order] = {}
        self.given_up: list[Order] = []
        """Whether these were taken is unknown."""
        self._at: list[float] = []
        """When an acknowledgement came, monotonic seconds."""

    def run(self, stop: threading.Event) -> None:
        """Submit until ``stop``."""
        with Apis([self._url]) as apis:
            pause_s = 0.0
            for number in itertools.count():
                if stop.wait(pause_s):
                    return
                order = Order(b"impatient %d" % number, 10)
                try:
                    job_id = order.attempt(apis)
                except httpx.HTTPStatusError:
                    job_id = None
                pause_s = TRY_EVERY_S if job_id else TRY_AFTER_REFUSAL_S
                if job_id is None:
                    self.given_up.append(order)
                else:
                    self.accepted[job_id] = order
                    self._at.append(self._clock.monotonic())

    def longest_gap_s(self, since: float = 0.0) -> float:
        """Return the longest time between two acknowledgements of which the second came after ``since``, seconds."""
        times = list(self._at)
        return max((later - earlier for earlier, later in itertools.pairwise(times) if later >= since), default=0.0)

    def next_after(self, moment: float) -> float | None:
        """Return when the first acknowledgement after ``moment`` came, monotonic seconds; ``None`` if none did."""
        return next((at for at in list(self._at) if at > moment), None)


class Crowd:
    """Use as ``with Crowd(api_urls) as crowd``; :meth:`settle` before leaving, or nothing was proved."""

    def __init__(self, api_urls: Sequence[str], per_s: float = 100.0, page: int = 7) -> None:
        """``per_s``: jobs a second that the clients submit together, at most; ``page``: of the second reader."""
        self._urls = list(api_urls)
        self.stream = Stream(api_urls, small_orders(per_s))
        self.impatient = [Impatient(url) for url in api_urls]
        self.ledger = Ledger(api_urls)
        self._readers = [Apis(self._urls[index:] + self._urls[:index]) for index in range(2)]
        self._feeds = [Feed(self._readers[0]), Feed(self._readers[1], page=page)]
        self._stop = threading.Event()
        self._threads = ThreadPoolExecutor(len(self.impatient) + len(self._feeds), "user")
        self._users: list[Future[None]] = []

    def __enter__(self) -> Self:
        self.stream.__enter__()
        self._users += [self._threads.submit(client.run, self._stop) for client in self.impatient]
        self._users += [self._threads.submit(self._read, feed) for feed in self._feeds]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if error is None:
            self.stream.end()
        self.stream.__exit__(kind, error, trace)
        self._threads.shutdown(wait=True)
        self.ledger.close()
        for apis in self._readers:
            apis.close()

    def hand_in(self, orders: Sequence[Order]) -> dict[str, Order]:
        """Submit jobs beside the stream, each until it is acknowledged; return them by id."""
        return hand_in(self.ledger, self._urls, orders)

    def go_on(self, jobs: int) -> None:
        """Return when so many more jobs of the stream are acknowledged, and every impatient client had one too."""
        now = SystemClock().monotonic()
        self.stream.await_more(jobs)
        wait_until(lambda: all(client.next_after(now) for client in self.impatient), "an acknowledgement for each")

    def settle(self) -> int:
        """End the submissions and hold the cluster to all that it acknowledged; return how many jobs that was."""
        self._stop.set()
        self.stream.end()
        for user in self._users:
            user.result()
        self.stream.note(self.ledger)
        for client in self.impatient:
            for job_id, order in client.accepted.items():
                order.note(self.ledger, job_id)
            self.hand_in(client.given_up)  # under their keys: now it is known which job each is
        self.ledger.await_all(ANSWERS_S)
        self.stream.assert_repeats_are_harmless()
        self._assert_readers_agree()
        return len(self.ledger.entries)

    def _read(self, feed: Feed) -> None:
        while not self._stop.wait(READ_EVERY_S):
            feed.follow()

    def _assert_readers_agree(self) -> None:
        """Both have read since the beginning, across everything that happened; the ledger reads it all at the end."""
        for feed in self._feeds:
            feed.follow()
            ids = [entry.job_id for entry in feed.seen]
            assert len(ids) == len(set(ids)), "a reader with a cursor saw a job twice"
            assert feed.seen == self.ledger.feed.seen, "a reader with a cursor missed something"
