"""What workers are told and what is remembered of them: heartbeats, incarnations, busy times, draining."""

# ruff: noqa: D102 — a test is described by its name
from __future__ import annotations

from dynwork.orchestrator.core.instance import Drained, Launched, intent
from dynwork.orchestrator.core.job import JobState
from dynwork.orchestrator.core.machine import Verdict
from dynwork.orchestrator.core.worker import Pace, Worker, WorkerFacts, WorkerState
from dynwork.orchestrator.store.commands import Ask, Grant, Pulse, Round
from dynwork.orchestrator.store.values import Swept
from dynwork.testing.store_contract.backend import RULES, StoreContract
from dynwork.testing.store_driver import KIND, START, StoreDriver, helds, lease_names

LEASE_S = RULES.leasing.lease_s


class WorkerContract(StoreContract):
    """Heartbeats and the workers' rows."""

    async def test_a_worker_is_remembered_as_it_describes_itself(self, drive: StoreDriver) -> None:
        paces = {"x": Pace(2e9, 1e6, 64), "y": Pace(0.0, 0.0, 8)}
        facts = WorkerFacts("w1", "a", paces, ("x", "y"), "i-1", "host", 7, "avx512", START - 5)
        await drive.commit(Round(asks=[Ask(facts)]))
        assert list(await drive.store.workers()) == [
            Worker(facts, WorkerState.READY, START + LEASE_S, START, START, leases=0)
        ]

    async def test_a_heartbeat_of_an_unknown_worker_registers_it(self, drive: StoreDriver) -> None:
        assert await drive.beat("w1", "j1#1", Pace(8.0, 2.0, 4)) == Pulse(stale=helds("j1#1"))
        (worker,) = await drive.store.workers()
        assert worker == Worker(
            WorkerFacts("w1", "w1/1", {KIND: Pace(8.0, 2.0, 4)}), WorkerState.READY, START + LEASE_S, START, START
        )

    async def test_a_heartbeat_updates_the_rates_it_tells_and_keeps_the_lanes(self, drive: StoreDriver) -> None:
        await drive.lease("w1", pace={"x": Pace(8.0, 2.0, 4), "y": Pace(0.0, 0.0, 2)})
        await drive.beat("w1", pace={"x": Pace(7.0, 1.5), "z": Pace(1.0, 1.0, 3)})
        (worker,) = await drive.store.workers()
        assert worker.facts.paces == {"x": Pace(7.0, 1.5, 4), "y": Pace(0.0, 0.0, 2), "z": Pace(1.0, 1.0, 3)}

    async def test_workers_are_listed_in_order_of_id_with_their_leases(self, drive: StoreDriver) -> None:
        for n in (1, 2):
            await drive.submit(f"j{n}", steps=21)
        await drive.lease("w2")
        await drive.lease("w1")
        assert [(w.facts.worker_id, w.leases) for w in await drive.store.workers()] == [("w1", 0), ("w2", 2)]

    async def test_a_heartbeat_tells_what_became_of_each_lease(self, drive: StoreDriver) -> None:
        for n in range(1, 6):
            await drive.submit(f"j{n}", steps=11)
        assert await drive.lease("w1") == "j1#1 j2#1 j3#1 j4#1 j5#1"
        await drive.cancel("j4")
        await drive.complete("w1", "j2#1@11")
        await drive.cancel("j1")
        pulse = await drive.beat("w1", "j4#1 j9#1 j3#1 j2#1 j1#1 j3#2")
        assert pulse == Pulse(
            cancelled=helds("j4#1 j1#1"), stale=helds("j9#1 j2#1 j3#2"), grants=(await drive.job("j5"),)
        )

    async def test_a_job_cancelled_after_its_lease_expired_is_told_as_cancelled(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        await drive.store.worker_gone("w1", drive.now)
        await drive.cancel("j1")
        assert await drive.beat("w1", "j1#1") == Pulse(cancelled=helds("j1#1"))

    async def test_a_job_cancelled_under_a_later_lease_is_stale(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        await drive.store.worker_gone("w1", drive.now)
        await drive.lease("w2")
        await drive.cancel("j1")
        assert await drive.beat("w1", "j1#1") == Pulse(stale=helds("j1#1"))

    async def test_a_job_cancelled_after_its_lease_was_ended_by_a_report_is_stale(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        await drive.fail("w1", "j1#1")
        await drive.cancel("j1")
        assert await drive.beat("w1", "j1#1") == Pulse(stale=helds("j1#1"))

    async def test_an_expired_lease_goes_on_while_the_job_still_waits(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        drive.advance(LEASE_S + 1)
        await drive.expire()
        assert await drive.beat("w1", "j1#1@30") == Pulse()
        job = await drive.job("j1")
        assert (job.state, job.lease.epoch, job.chain.done) == (JobState.LEASED, 1, 30)
        assert (await drive.store.workers())[0].state is WorkerState.READY
        assert await drive.lease("w2") == ""

    async def test_an_ask_keeps_expired_leases_that_it_lists(self, drive: StoreDriver) -> None:
        for n in (1, 2, 3):
            await drive.submit(f"j{n}", steps=21)
        await drive.lease("w1")
        await drive.store.worker_gone("w1", drive.now)
        assert await drive.lease("w1", "j1#1", unreported="j2#1", kinds="other") == ""
        states = [await drive.state(f"j{n}") for n in (1, 2, 3)]
        assert states == [JobState.LEASED, JobState.LEASED, JobState.QUEUED]

    async def test_a_lease_that_was_given_away_does_not_come_back(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        await drive.store.worker_gone("w1", drive.now)
        await drive.lease("w2")
        assert await drive.beat("w1", "j1#1") == Pulse(stale=helds("j1#1"))
        await drive.release("w2", "j1#2@50")
        assert await drive.beat("w1", "j1#1") == Pulse(stale=helds("j1#1"))
        assert await drive.beat("w2", "j1#2") == Pulse(stale=helds("j1#2"))
        assert await drive.state("j1") is JobState.QUEUED

    async def test_a_heartbeat_of_another_incarnation_renews_nothing(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1/2")
        before = await drive.store.workers(), await drive.job("j1")
        drive.advance(1)
        assert await drive.beat("w1/1", "j1#1@50") == Pulse(stale=helds("j1#1"))
        assert (await drive.store.workers(), await drive.job("j1")) == before

    async def test_a_worker_known_to_be_dead_loses_its_leases_at_once(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        assert await drive.store.worker_gone("w9", drive.now) == Swept()
        assert await drive.store.worker_gone("w1", drive.now) == Swept(expired=1, claimable=1, workers=("w1",))
        assert await drive.store.worker_gone("w1", drive.now) == Swept()
        assert (await drive.store.workers())[0].state is WorkerState.LOST
        assert await drive.lease("w2") == "j1#2"

    async def test_idle_time_counts_from_the_last_lease(self, drive: StoreDriver) -> None:
        async def busy_for() -> float:
            return (await drive.store.workers())[0].busy_at - START

        await drive.lease("w1")
        drive.advance(1)
        await drive.beat("w1")
        await drive.lease("w1")
        assert await busy_for() == 0
        await drive.submit("j1")
        await drive.submit("j2")
        await drive.lease("w1")
        assert await busy_for() == 1
        drive.advance(1)
        await drive.beat("w1", "j1#1")
        assert await busy_for() == 2
        drive.advance(1)
        await drive.lease("w1", "j1#1")
        assert await busy_for() == 2
        await drive.complete("w1", "j1#1")
        assert await busy_for() == 3
        drive.advance(1)
        await drive.complete("w1", "j2#7")
        assert await busy_for() == 3

    async def test_lost_workers_are_forgotten_and_others_are_not(self, drive: StoreDriver) -> None:
        await drive.submit("j1", steps=10_000)
        await drive.lease("w1")
        await drive.lease("w2")
        drive.advance(5)
        await drive.lease("w3")
        drive.advance(5)
        await drive.lease("w4")
        await drive.expire()
        assert await drive.forget(START) == 0
        assert await drive.forget(START + 5) == 2
        assert [worker.facts.worker_id for worker in await drive.store.workers()] == ["w3", "w4"]
        assert (await drive.job("j1")).lease.worker_id == "w1"
        assert await drive.complete("w1", "j1#1@10000") is Verdict.ACCEPTED

    async def test_a_draining_worker_keeps_its_leases_and_is_given_nothing(self, drive: StoreDriver) -> None:
        epoch = await _launched(drive)
        await drive.submit("j1", steps=10_000)
        await drive.lease("w1", instance_id="i1")
        await drive.store.instance_event(epoch, "i1", Drained("spot notice"), drive.now)
        await drive.submit("j2")
        assert await drive.beat("w1", "j1#1@50") == Pulse(drain=True)
        assert (await drive.store.workers())[0].state is WorkerState.DRAINING
        assert await drive.ask("w1", "j1#1", instance_id="i1") == Grant(drain=True)
        assert await drive.beat("w1") == Pulse(drain=True)
        drive.advance(LEASE_S - 1)
        assert await drive.expire() == Swept()
        assert await drive.release("w1", "j1#1@60") is Verdict.ACCEPTED

    async def test_a_draining_worker_does_not_take_back_what_expired(self, drive: StoreDriver) -> None:
        epoch = await _launched(drive)
        await drive.submit("j1")
        await drive.lease("w1", instance_id="i1")
        await drive.store.worker_gone("w1", drive.now)
        assert await drive.store.drain_if_idle(epoch, "i1", "idle", drive.now)
        assert await drive.beat("w1", "j1#1@50") == Pulse(drain=True)
        assert await drive.ask("w1", "j1#1", instance_id="i1") == Grant(drain=True)
        assert await drive.state("j1") is JobState.QUEUED
        assert await drive.release("w1", "j1#1@50") is Verdict.ACCEPTED
        assert lease_names((await drive.ask("w2")).grants) == "j1#2"
        assert (await drive.job("j1")).chain.done == 50


async def _launched(drive: StoreDriver) -> int:
    """Lead, and launch the instance ``i1``."""
    epoch = await drive.epoch()
    await drive.store.intend(epoch, intent("i1", drive.now), 4)
    await drive.store.instance_event(epoch, "i1", Launched("p1"), drive.now)
    return epoch
