"""Leadership and machines: invariants 7 and 8, as far as the store keeps them."""

# ruff: noqa: D102 — a test is described by its name
from __future__ import annotations

import asyncio

import pytest

from dynwork.errors import StaleLeaderError
from dynwork.orchestrator.core.instance import (
    Drained,
    Gone,
    Instance,
    InstanceState,
    Launched,
    Reported,
    intent,
)
from dynwork.orchestrator.core.worker import WorkerState
from dynwork.orchestrator.store.commands import Grant, Round
from dynwork.testing.store_contract.backend import Backend, StoreContract
from dynwork.testing.store_driver import START, StoreDriver, ask, completed


async def leading(drive: StoreDriver, holder: str = "me") -> int:
    """Lead; return the epoch."""
    epoch = await drive.store.lead(holder, drive.now, 10)
    assert epoch is not None
    return epoch


async def launched(drive: StoreDriver, epoch: int, *names: str) -> None:
    """Let the provider have taken these launches."""
    for name in names:
        await drive.store.intend(epoch, intent(name, drive.now), 9)
        await drive.store.instance_event(epoch, name, Launched(f"p-{name}"), drive.now)


class FleetContract(StoreContract):
    """Who may act, and what is remembered of the machines."""

    async def test_one_leads_until_its_time_is_up(self, drive: StoreDriver) -> None:
        assert await drive.store.lead("a", START, 10) == 1
        assert await drive.store.lead("b", START + 9.9, 10) is None
        assert await drive.store.lead("b", START + 10, 10) == 2
        assert await drive.store.lead("a", START + 11, 10) is None

    async def test_the_holder_keeps_its_epoch_by_leading_on(self, drive: StoreDriver) -> None:
        for seconds in (0, 5, 14, 100):
            assert await drive.store.lead("a", START + seconds, 10) == 1
        assert await drive.store.lead("b", START + 105, 10) is None

    async def test_only_one_of_many_becomes_leader(self, drive: StoreDriver) -> None:
        epochs = await asyncio.gather(*(drive.store.lead(name, START, 10) for name in "abc"))
        assert sorted(epochs, key=str) == [1, None, None]

    async def test_leadership_survives_a_restart(self, drive: StoreDriver, backend: Backend) -> None:
        await drive.store.lead("a", START, 10)
        drive.store = await backend.restart(drive.store)
        assert await drive.store.lead("b", START + 1, 10) is None
        assert await drive.store.lead("b", START + 11, 10) == 2

    async def test_acts_under_a_past_leadership_change_nothing(self, drive: StoreDriver) -> None:
        old = await leading(drive, "a")
        await launched(drive, old, "i1")
        drive.advance(11)
        await leading(drive, "b")
        before = await drive.store.instances()
        with pytest.raises(StaleLeaderError):
            await drive.store.intend(old, intent("i2", drive.now), 9)
        with pytest.raises(StaleLeaderError):
            await drive.store.instance_event(old, "i1", Gone("lost"), drive.now)
        with pytest.raises(StaleLeaderError):
            await drive.store.drain_if_idle(old, "i1", "idle", drive.now)
        with pytest.raises(StaleLeaderError):
            await drive.store.adopt(old, before[0], 9, drive.now)
        assert await drive.store.instances() == before

    async def test_without_a_leader_nobody_may_act(self, drive: StoreDriver) -> None:
        for epoch in (0, 1):
            with pytest.raises(StaleLeaderError):
                await drive.store.intend(epoch, intent("i1", drive.now), 9)

    async def test_an_intent_is_stored_before_anything_islaunched(self, drive: StoreDriver, backend: Backend) -> None:
        epoch = await leading(drive)
        stored = await drive.store.intend(epoch, intent("i1", drive.now, "somewhere"), 2)
        assert stored == Instance("i1", InstanceState.INTENDED, START, placement="somewhere")
        drive.store = await backend.restart(drive.store)
        assert list(await drive.store.instances()) == [stored]

    async def test_an_intent_beyond_the_maximum_is_not_stored(self, drive: StoreDriver) -> None:
        epoch = await leading(drive)
        assert await drive.store.intend(epoch, intent("i1", drive.now), 2) is not None
        assert await drive.store.intend(epoch, intent("i2", drive.now), 2) is not None
        assert await drive.store.intend(epoch, intent("i3", drive.now), 2) is None
        assert len(await drive.store.instances()) == 2

    async def test_all_but_ended_instances_count_against_the_maximum(self, drive: StoreDriver) -> None:
        epoch = await leading(drive)
        await launched(drive, epoch, "i1", "i2")
        await drive.store.instance_event(epoch, "i1", Drained("idle"), drive.now)
        assert await drive.store.intend(epoch, intent("i3", drive.now), 2) is None
        await drive.store.instance_event(epoch, "i1", Gone("ended"), drive.now)
        assert await drive.store.intend(epoch, intent("i3", drive.now), 2) is not None

    async def test_many_intents_at_once_never_pass_the_maximum(self, drive: StoreDriver) -> None:
        epoch = await leading(drive)
        answers = await asyncio.gather(*(drive.store.intend(epoch, intent(f"i{n}", drive.now), 3) for n in range(8)))
        assert sum(answer is not None for answer in answers) == 3
        assert len(await drive.store.instances()) == 3

    async def test_the_same_intent_twice_is_one_instance(self, drive: StoreDriver) -> None:
        epoch = await leading(drive)
        first = await drive.store.intend(epoch, intent("i1", drive.now), 1)
        drive.advance(1)
        assert await drive.store.intend(epoch, intent("i1", drive.now), 1) == first
        launched = await drive.store.instance_event(epoch, "i1", Launched("p1"), drive.now)
        assert await drive.store.intend(epoch, intent("i1", drive.now), 1) == launched

    async def test_an_instance_lives_by_its_events(self, drive: StoreDriver) -> None:
        epoch = await leading(drive)
        await drive.store.intend(epoch, intent("i1", START), 1)
        assert await drive.store.instance_event(epoch, "i9", Reported(), START) is None
        await drive.store.instance_event(epoch, "i1", Launched("p1"), START + 1)
        await drive.store.instance_event(epoch, "i1", Reported(), START + 2)
        await drive.store.instance_event(epoch, "i1", Launched("p2"), START + 3)
        running = Instance("i1", InstanceState.RUNNING, START, "p1", START + 1)
        assert list(await drive.store.instances()) == [running]
        ended = await drive.store.instance_event(epoch, "i1", Gone("vanished"), START + 4)
        assert ended == Instance("i1", InstanceState.ENDED, START, "p1", START + 1, START + 4, "vanished")
        assert list(await drive.store.instances()) == []

    async def test_instances_are_listed_in_order_of_intent(self, drive: StoreDriver) -> None:
        epoch = await leading(drive)
        for name in ("i3", "i1", "i2"):
            await drive.store.intend(epoch, intent(name, drive.now), 9)
            drive.advance(1)
        assert [one.instance_id for one in await drive.store.instances()] == ["i3", "i1", "i2"]

    async def test_an_idle_instance_drains_with_its_worker(self, drive: StoreDriver) -> None:
        epoch = await leading(drive)
        await launched(drive, epoch, "i1")
        await drive.ask("w1", instance_id="i1")
        assert await drive.store.drain_if_idle(epoch, "i1", "idle", drive.now)
        (one,) = await drive.store.instances()
        assert (one.state, one.reason) == (InstanceState.DRAINING, "idle")
        assert (await drive.store.workers())[0].state is WorkerState.DRAINING
        await drive.submit("j1")
        assert await drive.ask("w1", instance_id="i1") == Grant(drain=True)
        assert (await drive.beat("w1")).drain
        assert await drive.store.drain_if_idle(epoch, "i1", "again", drive.now)

    async def test_a_busy_worker_is_never_drained(self, drive: StoreDriver) -> None:
        epoch = await leading(drive)
        await launched(drive, epoch, "i1")
        await drive.submit("j1")
        await drive.ask("w1", instance_id="i1")
        assert not await drive.store.drain_if_idle(epoch, "i1", "idle", drive.now)
        assert (await drive.store.instances())[0].state is InstanceState.BOOTING
        assert (await drive.store.workers())[0].state is WorkerState.READY
        await drive.complete("w1", "j1#1")
        assert await drive.store.drain_if_idle(epoch, "i1", "idle", drive.now)

    async def test_a_claim_and_a_drain_at_once_never_both_succeed(self, drive: StoreDriver) -> None:
        epoch = await leading(drive)
        await launched(drive, epoch, "i1")
        await drive.ask("w1", instance_id="i1")
        await drive.submit("j1")
        claim = drive.commit(Round(asks=[ask("w1", instance_id="i1")]))
        receipt, drained = await asyncio.gather(claim, drive.store.drain_if_idle(epoch, "i1", "idle", drive.now))
        assert bool(receipt.grants[0].grants) is not drained
        await drive.commit(Round(reports=[completed("w1", "j1#1")]))

    async def test_a_worker_that_registers_on_a_draining_instance_gets_no_work(self, drive: StoreDriver) -> None:
        epoch = await leading(drive)
        await launched(drive, epoch, "i1")
        assert await drive.store.drain_if_idle(epoch, "i1", "not needed", drive.now)
        await drive.submit("j1")
        assert await drive.ask("w1", instance_id="i1") == Grant(drain=True)

    @pytest.mark.parametrize("event", [None, Gone("refused")])
    async def test_what_is_not_launched_or_has_ended_cannot_drain(self, drive: StoreDriver, event: Gone | None) -> None:
        epoch = await leading(drive)
        await drive.store.intend(epoch, intent("i1", drive.now), 1)
        if event:
            await drive.store.instance_event(epoch, "i1", event, drive.now)
        assert not await drive.store.drain_if_idle(epoch, "i1", "idle", drive.now)
        assert not await drive.store.drain_if_idle(epoch, "i9", "idle", drive.now)
