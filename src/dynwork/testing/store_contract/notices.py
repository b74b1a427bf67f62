"""Machines that are given up while they work: under notice, found with no place for them, found after their end."""

# ruff: noqa: D102 — a test is described by its name
from __future__ import annotations

from dataclasses import replace

from dynwork.orchestrator.core.instance import Gone, Instance, InstanceState, Noticed, Reported, intent
from dynwork.orchestrator.core.job import JobState
from dynwork.orchestrator.core.machine import Verdict
from dynwork.orchestrator.core.worker import WorkerState
from dynwork.orchestrator.store.commands import Grant, Pulse
from dynwork.testing.store_contract.backend import StoreContract
from dynwork.testing.store_contract.fleet import launched, leading
from dynwork.testing.store_driver import START, StoreDriver


class NoticeContract(StoreContract):
    """A worker is given nothing more, and never ended while it is busy."""

    async def test_a_worker_under_notice_gets_nothing_and_keeps_what_it_has_until_it_hands_it_back(
        self, drive: StoreDriver
    ) -> None:
        await drive.submit("j1")
        await drive.submit("j2")
        await drive.ask("w1")
        assert await drive.beat("w1", "j1#1@40", notice="spot") == Pulse(drain=True)
        (worker,) = await drive.store.workers()
        assert (worker.state, worker.facts.notice, worker.leases) == (WorkerState.DRAINING, "spot", 1)
        assert await drive.ask("w1", "j1#1", notice="spot") == Grant(drain=True)
        assert await drive.release("w1", "j1#1@60") is Verdict.ACCEPTED
        job = await drive.job("j1")
        assert (job.state, job.chain.done, job.attempts, job.losses) == (JobState.QUEUED, 60, 0, 0)

    async def test_a_notice_counts_from_the_first_word_and_for_as_long_as_the_process_lives(
        self, drive: StoreDriver
    ) -> None:
        assert await drive.beat("w1", notice="spot") == Pulse(drain=True)
        assert await drive.ask("w2", notice="rebalance") == Grant(drain=True)
        assert await drive.ask("w1") == Grant(drain=True), "an ask that was parked before the notice"
        assert await drive.beat("w2") == Pulse(drain=True)
        assert [one.facts.notice for one in await drive.store.workers()] == ["spot", "rebalance"]
        assert await drive.ask("w1/2") == Grant(), "another process: its machine will tell it, too"
        assert [one.facts.notice for one in await drive.store.workers()] == [None, "rebalance"]

    async def test_an_instance_under_notice_does_not_count_and_gets_no_work(self, drive: StoreDriver) -> None:
        epoch = await leading(drive)
        await launched(drive, epoch, "i1", "i2")
        await drive.store.instance_event(epoch, "i1", Reported(), drive.now)
        await drive.submit("j1")
        await drive.ask("w1", instance_id="i1")
        noticed = await drive.store.instance_event(epoch, "i1", Noticed("spot"), drive.now)
        assert noticed is not None
        assert (noticed.state, noticed.reason) == (InstanceState.NOTICED, "spot")
        assert await drive.store.intend(epoch, intent("i3", drive.now), 2) is not None
        await drive.submit("j2")
        assert await drive.ask("w1", "j1#1", instance_id="i1") == Grant(drain=True)
        assert not await drive.store.drain_if_idle(epoch, "i1", "idle", drive.now), "it is busy"
        await drive.release("w1", "j1#1@50")
        assert await drive.store.drain_if_idle(epoch, "i1", "idle", drive.now)
        states = [one.state for one in await drive.store.instances()]
        assert states[0] is InstanceState.NOTICED, "it never counts again"
        assert await drive.store.intend(epoch, intent("i4", drive.now), 2) is None

    async def test_a_stranger_is_adopted_where_there_is_a_place(self, drive: StoreDriver) -> None:
        epoch = await leading(drive)
        found = Instance("i1", InstanceState.RUNNING, drive.now, "p1", drive.now)
        assert await drive.store.adopt(epoch, found, 1, drive.now) == found
        assert await drive.store.adopt(epoch, found, 1, drive.now + 1) == found
        assert list(await drive.store.instances()) == [found]
        assert await drive.store.intend(epoch, intent("i2", drive.now), 1) is None

    async def test_a_stranger_without_a_place_is_let_finish_what_it_holds(self, drive: StoreDriver) -> None:
        epoch = await leading(drive)
        await drive.store.intend(epoch, intent("i2", drive.now), 1)
        await drive.submit("j1")
        await drive.submit("j2")
        await drive.ask("w1", instance_id="i1")
        found = Instance("i1", InstanceState.RUNNING, drive.now, "p1", drive.now)
        adopted = await drive.store.adopt(epoch, found, 1, drive.now)
        assert (adopted.state, adopted.provider_id) == (InstanceState.NOTICED, "p1")
        assert not await drive.store.drain_if_idle(epoch, "i1", "idle", drive.now)
        assert await drive.ask("w1", "j1#1", instance_id="i1") == Grant(drain=True)
        await drive.complete("w1", "j1#1")
        assert await drive.store.drain_if_idle(epoch, "i1", "idle", drive.now)

    async def test_what_was_given_up_and_works_is_let_finish_what_it_holds(self, drive: StoreDriver) -> None:
        epoch = await leading(drive)
        await launched(drive, epoch, "i1")
        await drive.store.instance_event(epoch, "i1", Gone("vanished"), drive.now)
        found = Instance("i1", InstanceState.RUNNING, drive.now, "p-i1", drive.now)
        adopted = await drive.store.adopt(epoch, found, 9, drive.now)
        assert (adopted.state, adopted.launched_at, adopted.ended_at) == (InstanceState.NOTICED, START, None)

    async def test_a_living_instance_is_not_changed_by_an_adoption(self, drive: StoreDriver) -> None:
        epoch = await leading(drive)
        await launched(drive, epoch, "i1")
        (before,) = await drive.store.instances()
        found = Instance("i1", InstanceState.RUNNING, drive.now, "p9", drive.now)
        assert await drive.store.adopt(epoch, found, 9, drive.now + 5) == before
        assert list(await drive.store.instances()) == [before]

    async def test_instances_that_ended_long_ago_are_forgotten(self, drive: StoreDriver) -> None:
        epoch = await leading(drive)
        await launched(drive, epoch, "i1", "i2")
        await drive.store.instance_event(epoch, "i1", Gone("first"), START + 10)
        await drive.store.instance_event(epoch, "i2", Gone("second"), START + 20)
        await drive.store.forget(epoch, START + 15)
        found = Instance("i1", InstanceState.RUNNING, START + 30, "p1", START + 30)
        assert await drive.store.adopt(epoch, found, 9, START + 30) == found, "nothing is known of it any more"
        again = await drive.store.adopt(epoch, replace(found, instance_id="i2"), 9, START + 30)
        assert again.state is InstanceState.NOTICED
