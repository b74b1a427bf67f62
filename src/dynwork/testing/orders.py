"""Many clients that submit at the same time and do not give up.

An :class:`Order` is a job with its own idempotency key and what must come of it. :class:`Stream` hands orders in from
several threads, each of which prefers one API; an attempt that is not acknowledged is repeated with the same key, at
the next API too, until one is. The orders that took more than one attempt are those whose outcome was unknown.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType

from dynwork.ids import new_id
from dynwork.kinds import DEFAULT_KIND
from dynwork.testing import kinds
from dynwork.testing.feed import Apis
from dynwork.testing.ledger import Ledger
from dynwork.testing.waiting import wait_until

ACKNOWLEDGED_S = 60.0


@dataclass(frozen=True, slots=True)
class Order:
    """A job to be submitted, and in which ``state`` it must end."""

    buffer: bytes
    iterations: int
    kind: str = DEFAULT_KIND
    state: str = "succeeded"
    key: str = field(default_factory=new_id)

    def attempt(self, apis: Apis) -> str | None:
        """Submit once; return the id if that was acknowledged."""
        return apis.enqueue(self.buffer, {"iterations": self.iterations, "kind": self.kind}, self.key)

    def note(self, ledger: Ledger, job_id: str) -> None:
        """Let ``ledger`` expect the right hash under ``job_id``; none of an order that cannot succeed."""
        right = partial(kinds.expected, self.kind, self.buffer, self.iterations)
        ledger.note(job_id, self.state, right if self.state == "succeeded" else None)


def hand_in(ledger: Ledger, urls: Sequence[str], orders: Iterable[Order]) -> dict[str, Order]:
    """Submit in order, each until it is acknowledged; note them in ``ledger``; return them by id."""
    with Apis(urls) as apis:
        ids = {
            wait_until(partial(order.attempt, apis), "an acknowledgement", ACKNOWLEDGED_S): order for order in orders
        }
    for job_id, order in ids.items():
        order.note(ledger, job_id)
    return ids


class Stream:
    """Use as ``with Stream(urls, orders) as stream``: leaving it waits until every order is acknowledged.

    ``orders`` without an end are submitted until :meth:`end`.
    """

    def __init__(self, urls: Sequence[str], orders: Iterable[Order], clients_per_api: int = 2) -> None:
        self._urls = list(urls)
        self._waiting = iter(orders)
        self._ended = threading.Event()
        self._taking, self._lock = threading.Lock(), threading.Lock()
        self._threads = ThreadPoolExecutor(len(self._urls) * clients_per_api, "client")
        self._clients: list[Future[None]] = []
        self._clients_per_api = clients_per_api
        self.acknowledged: dict[str, Order] = {}
        self.repeated: dict[str, Order] = {}
        """Of the acknowledged those whose first attempt was not: it may or may not have taken effect."""

    def __enter__(self) -> Stream:
        for index in range(len(self._urls)):
            mine = self._urls[index:] + self._urls[:index]
            self._clients += [self._threads.submit(self._client, mine) for _ in range(self._clients_per_api)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._ended.set()
        self._threads.shutdown(wait=True)
        if error is None:
            self._assert_well()

    def await_acknowledged(self, count: int) -> None:
        """Return when so many orders are acknowledged."""

        def enough() -> bool:
            self._assert_well()
            return len(self.acknowledged) >= count

        wait_until(enough, f"{count} orders acknowledged", ACKNOWLEDGED_S)

    def await_more(self, count: int) -> None:
        """Return when so many more orders are acknowledged than now."""
        self.await_acknowledged(len(self.acknowledged) + count)

    def end(self) -> None:
        """Begin no more submissions; return when those under way are acknowledged."""
        self._ended.set()
        self._threads.shutdown(wait=True)
        self._assert_well()

    def note(self, ledger: Ledger) -> None:
        """Note everything that was acknowledged."""
        for job_id, order in self.acknowledged.items():
            order.note(ledger, job_id)

    def assert_repeats_are_harmless(self) -> None:
        """Submit again, at every API, what had to be repeated: it must be the same job each time."""
        for url in self._urls:
            with Apis([url]) as apis:
                for job_id, order in self.repeated.items():
                    again = _insist(order, apis)
                    assert again == job_id, f"the key {order.key} named {job_id}, and at {url} {again}"

    def _assert_well(self) -> None:
        for client in self._clients:
            if client.done():
                client.result()

    def _client(self, urls: list[str]) -> None:
        with Apis(urls) as apis, Apis(urls[:1]) as preferred:
            while order := self._next():
                at_once = order.attempt(preferred)
                job_id = at_once or _insist(order, apis)
                with self._lock:
                    assert job_id not in self.acknowledged, f"two orders were given the id {job_id}"
                    self.acknowledged[job_id] = order
                    if at_once is None:
                        self.repeated[job_id] = order

    def _next(self) -> Order | None:
        with self._taking:
            return None if self._ended.is_set() else next(self._waiting, None)


def _insist(order: Order, apis: Apis) -> str:
    return wait_until(partial(order.attempt, apis), f"the order {order.key} is acknowledged", ACKNOWLEDGED_S)
