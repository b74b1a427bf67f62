"""The fleet side of an orchestrator in virtual time: the reference store, a scripted provider, workers of paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from prometheus_client import CollectorRegistry

from dynwork.ids import new_id
from dynwork.orchestrator.core.instance import InstanceState
from dynwork.orchestrator.core.job import Chain, Job, Submission
from dynwork.orchestrator.core.machine import Completed, Released
from dynwork.orchestrator.core.scaling import ScalingPolicy
from dynwork.orchestrator.core.worker import Pace, WorkerFacts
from dynwork.orchestrator.fleet.autoscaler import Autoscaler, FleetRules, Outside
from dynwork.orchestrator.metrics import Metrics
from dynwork.orchestrator.store.commands import Ask, Held, Report, Round
from dynwork.orchestrator.store.memory import MemoryStore
from dynwork.testing.clock import FakeClock
from dynwork.testing.provider import ScriptedProvider

KIND = "sha512-chain"
CAPACITY = 100.0
POLICY = ScalingPolicy(fleet_min=1, fleet_max=4, backlog_target_s=5.0, cooldown_s=5.0, boot_timeout_s=60.0)


@dataclass
class Leader:
    """The leadership, as the test sets it."""

    epoch: int | None = None


class World:
    """An orchestrator's fleet side, and workers that do what a test says."""

    def __init__(self, store: MemoryStore | None = None, *, shortcut: bool = True, **rules: Any) -> None:
        """``shortcut``: leases of dead workers are given back at once; ``rules``: changes to :class:`FleetRules`."""
        self.clock = FakeClock()
        self.store = store or MemoryStore()
        self.provider = ScriptedProvider()
        self.leader = Leader()
        self.gone: list[str] = []
        self.holding: dict[str, list[Job]] = {}
        self.shortcut = shortcut
        self.rules = rules
        self.notices: dict[str, str] = {}
        self.registry = CollectorRegistry()
        self._metrics = Metrics(self.registry)
        self.scaler = self.restart()

    def restart(self) -> Autoscaler:
        """A new orchestrator process over the same store and provider."""
        told = self._worker_gone if self.shortcut else None
        rules = replace(FleetRules(POLICY, worker_gone=told), **self.rules)
        outside = Outside(self.store, self.provider, self.clock, self._metrics)
        self.scaler = Autoscaler(outside, self.leader, rules)
        return self.scaler

    async def _worker_gone(self, worker_id: str) -> None:
        self.gone.append(worker_id)
        await self.store.worker_gone(worker_id, self.clock.now())

    async def lead(self, holder: str = "us") -> None:
        """Take the leadership."""
        self.leader.epoch = await self.store.lead(holder, self.clock.now(), 10.0)

    async def tick(self, seconds: float = 1.0, *, reporting: bool = True) -> None:
        """Let time pass and the autoscaler tick; with ``reporting`` every machine's worker is heard of first."""
        await self.clock.advance(seconds)
        if reporting:
            for instance_id in list(self.provider.running):
                await self.ask(instance_id, claim=False)
        await self.scaler.tick()

    async def ask(self, instance_id: str, *, claim: bool = True) -> Sequence[Job]:
        """The machine's worker asks for work; without ``claim`` it takes no kind that there is: it only reports."""
        kinds = (KIND,) if claim else ("none",)
        facts = WorkerFacts(
            f"w-{instance_id}",
            "one",
            {KIND: Pace(CAPACITY, CAPACITY)},
            kinds,
            instance_id,
            notice=self.notices.get(instance_id),
        )
        held = tuple(Held(job.job_id, job.lease.epoch) for job in self.holding.get(instance_id, []))
        receipt = await self.store.commit(Round(asks=[Ask(facts, holding=held)]), self.clock.now())
        grants = receipt.grants[0].grants
        self.holding.setdefault(instance_id, []).extend(grants)
        return grants

    async def submit(self, jobs: int, steps: int) -> None:
        """Submit ``jobs`` of ``steps`` each."""
        new = [Submission(new_id(), "local", None, KIND, 5, Chain(b"s", 0, steps)) for _ in range(jobs)]
        await self.store.commit(Round(submissions=new), self.clock.now())

    async def complete(self, instance_id: str) -> None:
        """The worker reports everything it holds as done."""
        reports = [
            Report(f"w-{instance_id}", "one", Held(job.job_id, job.lease.epoch), Completed(b"e", job.chain.total))
            for job in self.holding.pop(instance_id, [])
        ]
        await self.store.commit(Round(reports=reports), self.clock.now())

    async def release(self, instance_id: str) -> None:
        """The worker hands back everything it holds, with what was done."""
        reports = [
            Report(f"w-{instance_id}", "one", Held(job.job_id, job.lease.epoch), Released(b"c", job.chain.done + 1))
            for job in self.holding.pop(instance_id, [])
        ]
        await self.store.commit(Round(reports=reports), self.clock.now())

    async def rows(self, *states: InstanceState) -> list[str]:
        """Return the ids of the instances in ``states``, of all that have not ended if none is given."""
        return [row.instance_id for row in await self.store.instances() if not states or row.state in states]

    async def grown(self, machines: int) -> list[str]:
        """Let the fleet stand at ``machines`` running ones, all of which have reported."""
        await self.lead()
        await self.tick()
        if machines > 1:
            await self.tick()
            await self.submit(100, 10_000)
        for _ in range(3):
            await self.tick()
        assert len(await self.rows(InstanceState.RUNNING)) == machines
        return list(self.provider.running)

    async def all_done(self) -> None:
        """Everything that was submitted is done, by whoever comes first."""
        while True:
            for instance_id in list(self.provider.running):
                if await self.ask(instance_id):
                    break
            else:
                return
            await self.complete(instance_id)
