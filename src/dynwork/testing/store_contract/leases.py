"""Handing out work: the claim order, how much, lost grants, new incarnations, and what becomes of silent workers."""

# ruff: noqa: D102 — a test is described by its name
from __future__ import annotations

import asyncio

from dynwork.orchestrator.core.job import JobState
from dynwork.orchestrator.core.worker import Pace, WorkerState
from dynwork.orchestrator.store.commands import Round
from dynwork.orchestrator.store.values import Swept
from dynwork.testing.store_contract.backend import RULES, StoreContract
from dynwork.testing.store_driver import (
    ONE_LANE,
    START,
    StoreDriver,
    ask,
    completed,
    lease_name,
    lease_names,
    of_kind,
    submission,
)

FOUR_LANES = Pace(capacity=400.0, chain_speed=100.0, lanes=4)
LEASE_S = RULES.leasing.lease_s


class LeaseContract(StoreContract):
    """Asks, and the end of leases by time."""

    async def test_a_grant_is_the_job_as_leased(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        drive.advance(1)
        (job,) = (await drive.ask("w1")).grants
        assert job == await drive.job("j1")
        assert (job.state, job.started_at) == (JobState.LEASED, START + 1)
        assert (job.lease.epoch, job.lease.worker_id, job.lease.incarnation) == (1, "w1", "w1/1")

    async def test_claims_go_by_priority_then_time_then_id(self, drive: StoreDriver) -> None:
        for name, priority in [("j5", 5), ("j1", 0), ("j4", 5), ("j9", 9)]:
            await drive.submit(name, priority=priority)
        drive.advance(1)
        await drive.submit("j3", priority=5)
        order = [await drive.lease(f"w{n}") for n in range(5)]
        assert order == ["j9#1", "j4#1", "j5#1", "j3#1", "j1#1"]

    async def test_the_claim_order_goes_across_kinds_and_holds_for_lost_grants(self, drive: StoreDriver) -> None:
        for n, kind in [(3, "b"), (2, "a"), (1, "b")]:
            await drive.try_submit(of_kind(f"j{n}", kind, steps=11))
            drive.advance(1)
        assert await drive.lease("w1", pace=dict.fromkeys("ab", ONE_LANE)) == "j3#1 j2#1 j1#1"
        assert lease_names((await drive.beat("w1")).grants) == "j3#1 j2#1 j1#1"

    async def test_a_delayed_job_is_not_given_before_its_time(self, drive: StoreDriver) -> None:
        await drive.submit("j1", priority=9)
        await drive.lease("w1")
        await drive.fail("w1", "j1#1", jitter=0.5)  # 0.75 s
        drive.advance(0.5)
        assert await drive.lease("w1") == ""
        assert await drive.store.next_due(drive.now) == START + 0.75
        drive.advance(0.25)
        assert await drive.lease("w1") == "j1#2"

    async def test_delayed_jobs_do_not_hold_up_those_behind_them(self, drive: StoreDriver) -> None:
        await drive.submit("j1", priority=9)
        await drive.lease("w1")
        await drive.fail("w1", "j1#1")
        await drive.submit("j2", priority=0)
        assert await drive.lease("w1") == "j2#1"

    async def test_next_due_is_none_without_queued_jobs(self, drive: StoreDriver) -> None:
        assert await drive.store.next_due(drive.now) is None
        await drive.submit("j1")
        assert await drive.store.next_due(drive.now + 5) == START
        await drive.lease("w1")
        assert await drive.store.next_due(drive.now) is None

    async def test_long_chains_fill_the_lanes_and_no_more(self, drive: StoreDriver) -> None:
        for n in range(1, 7):
            await drive.submit(f"j{n}", steps=10_000)
        assert await drive.lease("w1", pace=FOUR_LANES) == "j1#1 j2#1 j3#1 j4#1"
        assert await drive.lease("w1", "j1#1 j2#1 j3#1 j4#1", pace=FOUR_LANES) == ""
        assert await drive.lease("w2") == "j5#1"

    async def test_short_chains_are_given_for_the_prefetch_time(self, drive: StoreDriver) -> None:
        for n in range(1, 9):
            await drive.submit(f"j{n}", steps=21)  # 0.4 s each: the fourth would start after 1.2 s
        assert await drive.lease("w1") == "j1#1 j2#1 j3#1"

    async def test_a_grant_is_bounded(self, drive: StoreDriver) -> None:
        await drive.commit(Round(submissions=[submission(f"j{n}", steps=2) for n in range(1, 13)]))
        assert len((await drive.ask("w1")).grants) == RULES.leasing.batch_max

    async def test_a_burst_that_came_at_one_moment_is_given_out_without_a_gap(self, drive: StoreDriver) -> None:
        names = [f"j{n}" for n in range(1, 21)]  # more than an engine reads at once
        await drive.commit(Round(submissions=[submission(name, steps=2) for name in names]))
        receipt = await drive.commit(Round(asks=[ask(worker) for worker in ("w1", "w2", "w3")]))
        assert [lease_name(job) for grant in receipt.grants for job in grant.grants] == [f"{name}#1" for name in names]

    async def test_what_is_computed_but_unreported_takes_no_lane(self, drive: StoreDriver) -> None:
        await drive.submit("j1", steps=10_000)
        await drive.submit("j2", steps=10_000)
        await drive.lease("w1")
        assert await drive.lease("w1", "j1#1") == ""
        assert await drive.lease("w1", unreported="j1#1") == "j2#1"

    async def test_a_worker_without_capacity_gets_one_chain_a_lane(self, drive: StoreDriver) -> None:
        for n in (1, 2, 3):
            await drive.submit(f"j{n}")
        assert await drive.lease("w1", pace=Pace(0.0, 0.0, 2)) == "j1#1 j2#1"

    async def test_two_workers_never_get_the_same_job(self, drive: StoreDriver) -> None:
        for n in range(1, 7):
            await drive.submit(f"j{n}", steps=10_000)
        receipt = await drive.commit(Round(asks=[ask("w1"), ask("w2"), ask("w1")]))
        assert [lease_names(grant.grants) for grant in receipt.grants] == ["j1#1", "j2#1", "j1#1"]
        others = await asyncio.gather(*(drive.ask(f"w{n}") for n in (3, 4)))
        assert sorted(lease_names(grant.grants) for grant in others) == ["j3#1", "j4#1"]

    async def test_a_lost_grant_is_given_again_under_its_epoch(self, drive: StoreDriver) -> None:
        for n in (1, 2, 3):
            await drive.submit(f"j{n}", steps=16)
        assert await drive.lease("w1") == "j1#1 j2#1 j3#1"
        assert await drive.lease("w1", "j2#1") == "j1#1 j3#1"
        pulse = await drive.beat("w1", "j1#1@5 j3#1")
        assert lease_names(pulse.grants) == "j2#1"

    async def test_a_granted_again_job_carries_its_checkpoint(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        await drive.beat("w1", "j1#1@40")
        (job,) = (await drive.ask("w1")).grants
        assert job.chain.done == 40

    async def test_a_silent_workers_leases_expire_after_the_lease_time_and_not_before(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        drive.advance(LEASE_S)
        assert await drive.expire() == Swept()
        drive.advance(0.001)
        assert await drive.expire() == Swept(expired=1, claimable=1, workers=("w1",))
        job = await drive.job("j1")
        assert (job.state, job.lease.epoch, job.not_before, job.losses) == (JobState.QUEUED, 1, START, 1)
        assert [(worker.state, worker.leases) for worker in await drive.store.workers()] == [(WorkerState.LOST, 0)]
        assert await drive.expire() == Swept()

    async def test_a_heartbeat_renews_every_lease_of_its_worker(self, drive: StoreDriver) -> None:
        await drive.submit("j1", steps=1000)
        await drive.lease("w1")
        for _ in range(4):
            drive.advance(LEASE_S - 1)
            assert (await drive.expire()).expired == 0
            await drive.beat("w1", "j1#1")
        drive.advance(LEASE_S - 1)
        await drive.lease("w1", "j1#1")
        drive.advance(LEASE_S - 1)
        assert (await drive.expire()).expired == 0

    async def test_an_expired_job_keeps_its_place_and_continues_from_its_checkpoint(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        drive.advance(2)
        await drive.submit("j2")
        await drive.beat("w1", "j1#1@60")
        drive.advance(LEASE_S + 1)
        await drive.expire()
        job, after = (await drive.ask("w2")).grants
        assert (lease_name(job), lease_name(after)) == ("j1#2", "j2#1")
        assert (job.chain.state, job.chain.done, job.start.done) == (b"j1@60", 60, 1)

    async def test_one_sweep_expires_a_bounded_number_in_order_of_id(self, drive: StoreDriver) -> None:
        for n in (1, 2, 3):
            await drive.submit(f"j{n}")
            await drive.lease(f"w{4 - n}")
        drive.advance(LEASE_S + 1)
        first = await drive.expire(limit=2)
        assert first == Swept(expired=2, claimable=2, workers=("w1", "w2", "w3"), more=True)
        assert [await drive.state(f"j{n}") for n in (1, 2, 3)] == [JobState.QUEUED, JobState.QUEUED, JobState.LEASED]
        assert await drive.expire(limit=2) == Swept(expired=1, claimable=1)

    async def test_too_many_losses_without_progress_end_the_job(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        for n in range(1, RULES.retry.losses_max + 2):
            assert await drive.lease(f"w{n}") == f"j1#{n}"
            drive.advance(LEASE_S + 1)
            swept = await drive.expire()
        assert (swept.expired, swept.claimable, swept.ended) == (1, 0, 1)
        job = await drive.job("j1")
        assert (job.state, job.attempts, job.position) == (JobState.DEAD, 0, 1)
        assert job.error is not None
        assert job.error.code == "worker_lost"

    async def test_progress_forgives_losses(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        for n in range(1, RULES.retry.losses_max + 4):
            await drive.lease(f"w{n}")
            await drive.beat(f"w{n}", f"j1#{n}@{n + 1}")
            drive.advance(LEASE_S + 1)
            await drive.expire()
        assert await drive.state("j1") is JobState.QUEUED

    async def test_a_new_incarnation_gives_up_the_leases_of_the_old_one(self, drive: StoreDriver) -> None:
        await drive.submit("j1", steps=10_000)
        await drive.submit("j2", steps=10_000)
        await drive.lease("w1")
        receipt = await drive.commit(Round(asks=[ask("w1/2", kinds="other")]))
        assert (receipt.claimable, lease_names(receipt.grants[0].grants)) == (1, "")
        assert await drive.state("j1") is JobState.QUEUED
        assert await drive.lease("w1/2") == "j1#2"

    async def test_a_new_incarnation_can_take_up_at_once_what_the_old_one_had(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        await drive.submit("j2", priority=4)
        await drive.ask("w2", kinds="other")
        receipt = await drive.commit(Round(asks=[ask("w3"), ask("w1/2"), ask("w2")]))
        assert [lease_names(grant.grants) for grant in receipt.grants] == ["j2#1", "j1#2", ""]

    async def test_what_an_ask_takes_back_is_not_given_out_again(self, drive: StoreDriver) -> None:
        for n in (1, 2):
            await drive.submit(f"j{n}")
        await drive.lease("w1")
        await drive.store.worker_gone("w1", drive.now)
        receipt = await drive.commit(Round(asks=[ask("w1", "j1#1"), ask("w2")]))
        assert [lease_names(grant.grants) for grant in receipt.grants] == ["", "j2#1"]

    async def test_claimable_counts_what_a_round_left_in_the_queue(self, drive: StoreDriver) -> None:
        receipt = await drive.commit(Round(submissions=[submission("j1"), submission("j2")], asks=[ask("w1")]))
        assert (receipt.claimable, receipt.ended) == (1, 0)
        receipt = await drive.commit(
            Round(reports=[completed("w1", "j1#1")], submissions=[submission("j3"), submission("j4", steps=1)])
        )
        assert (receipt.claimable, receipt.ended) == (1, 2)
