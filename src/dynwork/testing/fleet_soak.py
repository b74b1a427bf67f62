"""Days of a fleet in virtual time: random load, mishaps of every EC2 call, machines that die, leaders that change and
now and then bring a new release.

Everything is drawn from one seed, ids included, so that a day that went wrong can be lived again. After every tick the
invariants that can be seen are looked at; in the end nothing fails any more and there is no work, and what the cloud
has and what the store has must be the same.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest import mock

from dynwork.orchestrator.core.instance import COUNTED
from dynwork.orchestrator.core.job import Chain, Job, Submission
from dynwork.orchestrator.core.leasing import LeasePolicy
from dynwork.orchestrator.core.machine import Completed, Released
from dynwork.orchestrator.core.scaling import ScalingPolicy
from dynwork.orchestrator.core.worker import Pace, WorkerFacts, WorkerState
from dynwork.orchestrator.fleet.autoscaler import Autoscaler, FleetRules, Outside
from dynwork.orchestrator.fleet.ec2.places import ON_DEMAND, SPOT, pools
from dynwork.orchestrator.fleet.ec2.provider import BUILD_TAG, CLUSTER_TAG, INSTANCE_TAG, Ec2Provider, Ec2Setup
from dynwork.orchestrator.store.commands import Ask, Held, Report, Round
from dynwork.orchestrator.store.memory import MemoryStore
from dynwork.orchestrator.store.values import Rules
from dynwork.testing.clock import FakeClock
from dynwork.testing.ec2 import Box, SimulatedEc2
from dynwork.testing.fleet_mishaps import Mishaps

KIND, CAPACITY = "sha512-chain", 100.0
TICK_S = 10.0
HEARTBEAT_S, LEASE_S, LEADERSHIP_S = 10.0, 30.0, 20.0
FLEET_MIN, FLEET_MAX = 1, 8
MOST = FLEET_MAX + 1
"""While machines are replaced for a new release there may be one more."""
POLICY = ScalingPolicy(FLEET_MIN, FLEET_MAX, backlog_target_s=60.0, cooldown_s=120.0, boot_timeout_s=300.0)
APART_S = 60.0
CLUSTER = "soak"
CALM_S = 1800.0
"""How long nothing goes wrong any more at the end, seconds."""


@dataclass(slots=True)
class PaperWorker:
    """A worker on a machine: it boots, computes at a fixed rate, and does what it is told."""

    boots_at: float
    holding: dict[str, Job] = field(default_factory=dict)
    done: dict[str, float] = field(default_factory=dict)
    notice: str | None = None
    taken_back_at: float | None = None
    reports: bool = True


@dataclass(slots=True)
class Lead:
    """The leadership, as one orchestrator believes to have it."""

    epoch: int | None = None


class Soak:
    """One life. Its figures are :attr:`counts`."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.clock = FakeClock()
        leasing = LeasePolicy(lease_s=LEASE_S, heartbeat_s=HEARTBEAT_S)
        self.store = MemoryStore(Rules(leasing=leasing))
        self.counts: Counter[str] = Counter()
        self.mishaps = Mishaps(self.draw, self.clock, self.counts)
        self.cloud = SimulatedEc2(self.clock, self.mishaps.next)
        self.cloud.lag_s = lambda: self.draw.choice((0.0, 0.0, 5.0, 45.0))
        self.cloud.end_s = 25.0
        self.cloud.on_terminate = self._asked_to_end
        self.workers: dict[str, PaperWorker] = {}
        self.strangers: set[str] = set()
        """By provider id; until they are ended, they are more than was ordered."""
        self._ids = (f"{number:08x}-0000-7000-8000-000000000000" for number in itertools.count(1))
        self._orchestrators = itertools.count(1)
        self._submitted = 0
        self._build = 1
        self._tick: asyncio.Task[None] | None = None

    @contextmanager
    def _own_ids(self) -> Iterator[None]:
        with mock.patch("dynwork.orchestrator.fleet.launching.new_id", self._new_id):
            yield

    def _new_id(self) -> str:
        return next(self._ids)

    def _orchestrator(self) -> tuple[str, Lead, Autoscaler]:
        async def cluster_id() -> str:
            return CLUSTER

        places = pools((SPOT, ON_DEMAND), ("a", "b"), ("s1", "s2"))
        setup = Ec2Setup("worker", places, str, cluster_id, build=f"build-{self._build}")
        provider = Ec2Provider(self.cloud, setup, self.clock)
        rules = FleetRules(
            POLICY,
            TICK_S,
            look_s=60.0,
            settle_s=10.0,
            apart_s=APART_S,
            sight_s_max=15.0,
            silent_s=2 * HEARTBEAT_S,
            worker_gone=lambda worker_id: self.store.worker_gone(worker_id, self.clock.now()),
        )
        lead = Lead()
        name = f"orchestrator-{next(self._orchestrators)}"
        return name, lead, Autoscaler(Outside(self.store, provider, self.clock), lead, rules)

    async def live(self, hours: float) -> None:
        """Let so much time pass, and then calm down. Raises ``AssertionError`` if an invariant is broken."""
        with self._own_ids():
            until = self.clock.now() + hours * 3600
            name, lead, scaler = self._orchestrator()
            while self.clock.now() < until + CALM_S:
                self.mishaps.over = self.clock.now() >= until
                if not self.mishaps.over and self.draw.random() < 1 / 300:
                    self.counts["leaders replaced"] += 1
                    if self._tick is not None:
                        self._tick.cancel()  # it dies wherever it is
                        await asyncio.wait([self._tick])
                        self._tick = None
                    if self.draw.random() < 1 / 4:
                        self.counts["releases"] += 1
                        self._build += 1
                    name, lead, scaler = self._orchestrator()
                lead.epoch = await self.store.lead(name, self.clock.now(), LEADERSHIP_S)
                await self._load()
                self._stranger()
                await self._work()
                await self._scale(scaler)
                if lead.epoch is not None:
                    await self.store.expire(lead.epoch, self.clock.now(), 1000)
                    await self.store.retire(lead.epoch, self.clock.now() - 1800, 1000)
                    await self.store.forget(lead.epoch, self.clock.now() - 7200)
                await self._look()
            await self._settled()

    async def _scale(self, scaler: Autoscaler) -> None:
        """One tick of the scaler; a call that takes long goes on while time passes."""
        if self._tick is not None and self._tick.done():
            self._tick.result()
            self._tick = None
        if self._tick is None:
            self._tick = asyncio.ensure_future(scaler.tick())
        await self.clock.advance(TICK_S)

    # -- what happens to the cloud
    def _asked_to_end(self, box: Box) -> None:
        worker = self.workers.get(box.provider_id)
        assert worker is None or not worker.holding, f"{box.instance_id} is ended while it is busy"

    # -- load and workers
    async def _load(self) -> None:
        hour = self.clock.now() / 3600 % 24
        busy = 0.08 if 8 <= hour < 20 else 0.01
        if self.mishaps.over or self.draw.random() > busy:
            return
        jobs = [
            Submission(next(self._ids), "local", None, KIND, 5, Chain(b"s", 0, int(self.draw.lognormvariate(8, 1)) + 1))
            for _ in range(self.draw.randrange(1, 25))
        ]
        self._submitted += len(jobs)
        await self.store.commit(Round(submissions=jobs), self.clock.now())

    def _stranger(self) -> None:
        """A machine of ours appears that no row knows of: somebody launched it by hand, or a backup was restored."""
        if self.mishaps.over or self.draw.random() > 1 / 800:
            return
        self.counts["strangers"] += 1
        tags = [{"Key": CLUSTER_TAG, "Value": CLUSTER}, {"Key": INSTANCE_TAG, "Value": self._new_id()}]
        made = self.cloud.make(
            {
                "ClientToken": self._new_id(),
                "UserData": "",
                "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}],
            }
        )
        self.strangers.add(made)

    async def _work(self) -> None:
        now, reports, asking = self.clock.now(), [], []
        for box in self.cloud.living:
            if box.provider_id not in self.workers:
                self.workers[box.provider_id] = self._boots(box)
            worker = self.workers[box.provider_id]
            self._chance(box, worker)
            if not box.lives or now < worker.boots_at or not worker.reports:
                continue
            reports += self._reports(box, worker)
            asking.append((worker, self._ask(box, worker)))
        receipt = await self.store.commit(Round(reports=reports, asks=[ask for _, ask in asking]), now)
        for (worker, _), grant in zip(asking, receipt.grants, strict=True):
            if grant.drain:
                worker.notice = worker.notice or "drained"
            for job in grant.grants:
                worker.holding[job.job_id], worker.done[job.job_id] = job, float(job.chain.done)

    def _boots(self, box: Box) -> PaperWorker:
        self.counts["machines"] += 1
        worker = PaperWorker(box.launched_at + self.draw.triangular(30, 120))
        if not self.mishaps.over and self.draw.random() < (0.5 if box.provider_id in self.strangers else 0.05):
            self.counts["never reported"] += 1
            worker.reports = False
        return worker

    def _chance(self, box: Box, worker: PaperWorker) -> None:
        """What happens to machines by themselves."""
        now = self.clock.now()
        if worker.taken_back_at is not None and now >= worker.taken_back_at:
            self.counts["taken back"] += 1
            self.cloud.end(box.provider_id, "Server.SpotInstanceTermination")
        elif not self.mishaps.over and self.draw.random() < 1 / 1500:
            self.counts["died"] += 1
            self.cloud.end(box.provider_id, "died")
        elif not self.mishaps.over and worker.taken_back_at is None and self.draw.random() < 1 / 700:
            self.counts["notices"] += 1
            worker.notice, worker.taken_back_at = "spot interruption", now + 120

    def _reports(self, box: Box, worker: PaperWorker) -> list[Report]:
        """What it did since the last tick, one job after the other; under notice everything goes back."""
        reports, left = [], CAPACITY * TICK_S
        for job_id, job in list(worker.holding.items()):
            step = min(left, job.chain.total - worker.done[job_id])
            left -= step
            worker.done[job_id] += step
            is_done = worker.done[job_id] >= job.chain.total
            if is_done or worker.notice is not None:
                steps = int(worker.done[job_id])
                event = Completed(b"e", job.chain.total) if is_done else Released(b"c", steps)
                reports.append(Report(self._name(box), box.provider_id, Held(job_id, job.lease.epoch), event))
                del worker.holding[job_id], worker.done[job_id]
        return reports

    def _ask(self, box: Box, worker: PaperWorker) -> Ask:
        pace = {KIND: Pace(CAPACITY, CAPACITY)}
        facts = WorkerFacts(self._name(box), box.provider_id, pace, (KIND,), box.instance_id, notice=worker.notice)
        return Ask(facts, tuple(Held(job_id, job.lease.epoch) for job_id, job in worker.holding.items()))

    def _name(self, box: Box) -> str:
        return f"w-{box.instance_id}"

    # -- what must hold
    async def _look(self) -> None:
        rows = {row.instance_id: row for row in await self.store.instances()}
        assert sum(row.state in COUNTED for row in rows.values()) <= MOST
        ordered = [box for box in self.cloud.living if box.provider_id not in self.strangers]
        living = sum(box.instance_id not in rows or rows[box.instance_id].state in COUNTED for box in ordered)
        self.counts["most"] = max(self.counts["most"], living)
        assert living <= MOST, f"{living} machines live"

    async def _settled(self) -> None:
        rows = {row.instance_id: row.provider_id for row in await self.store.instances()}
        assert rows == {box.instance_id: box.provider_id for box in self.cloud.living}
        assert len(rows) == FLEET_MIN
        assert {box.tags[BUILD_TAG] for box in self.cloud.living} == {f"build-{self._build}"}
        ready = [worker for worker in await self.store.workers() if worker.state is WorkerState.READY]
        assert {worker.facts.instance_id for worker in ready} == rows.keys()
        totals = await self.store.totals()
        assert (totals.queued, totals.leased, totals.submitted) == (0, 0, self._submitted)
        self.counts["jobs"] = self._submitted
        assert len({box.instance_id for box in self.cloud.boxes.values()}) == len(self.cloud.boxes), "one an intent"
