"""Where asks wait for work: who is parked, and whom to wake.

The most recently parked is woken first, so that idle workers stay idle longest and the scaler finds some to end; those
with a free lane come before those that only fetch ahead. A place belongs to one ask from before its first look until
its answer: one that was woken in vain goes back to the same place in the order.

A wake is a hint and a place remembers only one. A wake that its receiver did not use is passed on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from dynwork.orchestrator.core.worker import WorkerFacts


class Place:
    """One parked ask. ``wake`` is set when it should look again, or is ``dismissed``: answered without a look."""

    def __init__(self, facts: WorkerFacts, holds: int) -> None:
        self.facts = facts
        self.holds = holds
        self.wake = asyncio.Event()
        self.dismissed = False

    @property
    def full(self) -> bool:
        """Whether every lane of the worker may have a chain: what kinds it holds is not known here."""
        return self.holds >= self.facts.lanes_min

    def dismiss(self) -> None:
        """End the waiting: the answer is that there is nothing."""
        self.dismissed = True
        self.wake.set()


class Parking:
    """All parked asks of this orchestrator, oldest first; one a worker."""

    def __init__(self) -> None:
        self._places: dict[Place, None] = {}
        self._by_worker: dict[str, Place] = {}
        self.occupied = asyncio.Event()

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Place]:
        return iter(tuple(self._places))

    @contextmanager
    def place(self, facts: WorkerFacts, holds: int) -> Iterator[Place]:
        """Park. A worker has one ask in flight: an earlier one is from a connection that was lost, and is dismissed."""
        place = Place(facts, holds)
        earlier = self._by_worker.get(facts.worker_id)
        if earlier is not None:
            earlier.dismiss()
        self._by_worker[facts.worker_id] = place
        self._places[place] = None
        self.occupied.set()
        try:
            yield place
        finally:
            self._leave(place)

    def _leave(self, place: Place) -> None:
        del self._places[place]
        if self._by_worker.get(place.facts.worker_id) is place:
            del self._by_worker[place.facts.worker_id]
        if not self._places:
            self.occupied.clear()
        elif place.wake.is_set() and not place.dismissed:
            self.nudge(1)

    def nudge(self, count: int) -> int:
        """Wake at most ``count`` that sleep: free lanes first, then the most recently parked. Returns how many."""
        if count <= 0:
            return 0
        asleep = [place for place in reversed(self._places) if not place.wake.is_set()]
        woken = sorted(asleep, key=lambda place: place.full)[:count]
        for place in woken:
            place.wake.set()
        return len(woken)

    def wake_all(self) -> None:
        """Wake everyone."""
        for place in self._places:
            place.wake.set()

    def wake_workers(self, worker_ids: Iterable[str]) -> None:
        """Wake these, if they are parked."""
        for worker_id in worker_ids:
            place = self._by_worker.get(worker_id)
            if place is not None:
                place.wake.set()

    def ended_lease(self, worker_id: str) -> None:
        """The worker ended one lease: it has a lane free again, and looks if it had none before."""
        place = self._by_worker.get(worker_id)
        if place is None:
            return
        was_full = place.full
        place.holds = max(place.holds - 1, 0)
        if was_full:
            place.wake.set()
