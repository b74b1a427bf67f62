"""A provider in memory that does what a test's script says: refuse, delay, lose replies, let machines vanish.

It passes the same contract suite as the real ones. What it holds is public, so that tests can look: ``running`` maps
instance ids to provider ids, ``launches`` counts machines ever made, ``most`` is the most that ever ran at once.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Sequence

from dynwork.errors import FleetCapacityError, FleetError, FleetUnclearError
from dynwork.orchestrator.fleet.provider import Exit, Machine


class ScriptedProvider:
    """Faults are set by plain attributes and methods; each launch fault in ``faults`` is used up by one call."""

    def __init__(self) -> None:
        self.running: dict[str, str] = {}
        self.launches = 0
        self.most = 0
        self.looks = 0
        self.calls: list[tuple[str, str]] = []
        self.faults: deque[FleetError | None] = deque()
        self.lose_replies = 0
        self.blind: FleetError | None = None
        self.places = ["here"]
        self.unseen: set[str] = set()
        self.stubborn: set[str] = set()
        self.kept: dict[str, FleetError] = {}
        self.outdated: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self._given: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._exits: asyncio.Queue[Exit] = asyncio.Queue()

    def place(self) -> str:
        """See :meth:`Provider.place`. The first of ``places``; one that refuses for capacity is removed from them."""
        if not self.places:
            raise FleetCapacityError("none left anywhere", retry_after_s=60)
        return self.places[0]

    async def launch(self, instance_id: str, placement: str) -> str:
        """See :meth:`Provider.launch`. Waits for ``gate``; ``lose_replies`` calls take effect without an answer."""
        self.calls.append(("launch", instance_id))
        await self.gate.wait()
        fault = self.faults.popleft() if self.faults else None
        if fault is not None:
            if isinstance(fault, FleetCapacityError) and placement in self.places:
                self.places.remove(placement)
            raise fault
        provider_id = self._given.get(instance_id)
        if provider_id is None:
            provider_id = self._given[instance_id] = f"m-{next(self._numbers)}"
            self.running[instance_id] = provider_id
            self.launches += 1
            self.most = max(self.most, len(self.running))
        if self.lose_replies:
            self.lose_replies -= 1
            raise FleetUnclearError("the reply was lost")
        return provider_id

    async def terminate(self, machine: Machine) -> None:
        """See :meth:`Provider.terminate`. A machine in ``stubborn`` ends at the second call; ``kept`` is raised."""
        instance_id = machine.instance_id
        self.calls.append(("terminate", instance_id))
        if instance_id in self.kept:
            raise self.kept[instance_id]
        if instance_id in self.stubborn:
            self.stubborn.discard(instance_id)
            return
        self._end(instance_id, "terminated")

    async def machines(self) -> Sequence[Machine]:
        """See :meth:`Provider.machines`. ``blind`` is raised instead; machines in ``unseen`` are not listed yet."""
        if self.blind is not None:
            raise self.blind
        self.looks += 1
        return [
            Machine(name, provider_id, is_outdated=name in self.outdated)
            for name, provider_id in self.running.items()
            if name not in self.unseen
        ]

    async def next_exit(self) -> Exit:
        """See :meth:`Provider.next_exit`."""
        return await self._exits.get()

    async def close(self) -> None:
        """See :meth:`Provider.close`."""

    def crash(self, instance_id: str) -> None:
        """Let the machine die, noticed at once."""
        self._end(instance_id, "killed by signal 9")

    def vanish(self, instance_id: str) -> None:
        """Let the machine be gone without a hint."""
        self.running.pop(instance_id, None)

    def appear(self, instance_id: str) -> None:
        """Let a machine of ours exist that nobody here launched."""
        self.running[instance_id] = self._given[instance_id] = f"m-{next(self._numbers)}"

    def _end(self, instance_id: str, reason: str) -> None:
        if self.running.pop(instance_id, None) is not None:
            self._exits.put_nowait(Exit(instance_id, reason))
