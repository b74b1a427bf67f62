"""Requeues: a dead job has one successor, which does the same work from its start. Invariant 3."""

# ruff: noqa: D102 — a test is described by its name
from __future__ import annotations

import pytest

from dynwork.errors import JobNotDeadError, KeyReusedError, NotFoundError, QueueFullError
from dynwork.orchestrator.core.job import Chain, JobState
from dynwork.orchestrator.store.commands import Requeue, Round
from dynwork.testing.store_contract.backend import RULES, Backend, StoreContract
from dynwork.testing.store_driver import StoreDriver, ask, expect_job, failed, job_id, submission

Answers = list[object]


class RequeueContract(StoreContract):
    """Once, again, of the wrong job, of somebody else's, with a full queue."""

    @pytest.fixture
    async def dead(self, drive: StoreDriver) -> StoreDriver:
        """Let j1 be dead after it had come to half of its steps."""
        await drive.submit("j1", key="k", priority=7)
        await drive.lease("w1")
        await drive.release("w1", "j1#1@50")
        await drive.die("j1")
        return drive

    async def test_the_successor_does_the_same_work_from_its_start(self, dead: StoreDriver) -> None:
        before = await dead.job("j1")
        dead.advance(5)
        await dead.requeue("j1", "j2")
        job = await dead.job("j2")
        assert (job.state, job.chain, job.start) == (JobState.QUEUED, Chain(b"start", 1, 100), before.start)
        assert (job.kind, job.priority, job.fingerprint) == (before.kind, 7, before.fingerprint)
        assert (job.requeued_from, job.key, job.attempts, job.error) == (job_id("j1"), None, 0, None)
        assert (job.created_at, job.not_before) == (dead.now, dead.now)
        assert await dead.job("j1") == before
        totals = await dead.store.totals()
        assert (totals.queued, totals.dead, totals.submitted) == (1, 1, 2)
        assert await dead.lease("w1") == "j2#1"

    async def test_a_dead_job_has_one_successor_whatever_name_is_offered(
        self, dead: StoreDriver, backend: Backend
    ) -> None:
        first = expect_job(await dead.requeue("j1", "j2"))
        assert await dead.requeue("j1", "j3") == first
        dead.store = await backend.restart(dead.store)
        assert await dead.requeue("j1", "j2") == first
        await dead.cancel("j2")
        assert await dead.requeue("j1", "j3") == await dead.job("j2")
        assert (await dead.store.totals()).submitted == 2

    async def test_repeated_in_one_round_it_is_the_same_job(self, dead: StoreDriver) -> None:
        twice = [Requeue("ann", job_id("j1"), job_id(name)) for name in ("j2", "j3")]
        receipt = await dead.commit(Round(requeues=twice))
        assert list(receipt.requeues) == [await dead.job("j2")] * 2
        assert receipt.claimable == 1

    async def test_a_successor_that_died_is_requeued_like_any_other(self, dead: StoreDriver) -> None:
        await dead.requeue("j1", "j2")
        await dead.die("j2")
        assert expect_job(await dead.requeue("j2", "j3")).requeued_from == job_id("j2")
        assert expect_job(await dead.requeue("j1", "j4")).job_id == job_id("j2")

    async def test_only_a_dead_job_is_requeued(self, drive: StoreDriver) -> None:
        await drive.submit("j3")
        await drive.cancel("j3")
        await drive.submit("j4", steps=1)
        await drive.submit("j2")
        await drive.lease("w1")
        await drive.submit("j1")
        before = await drive.store.totals()
        for name in ("j1", "j2", "j3", "j4"):
            assert isinstance(await drive.requeue(name, "j5"), JobNotDeadError)
        assert await drive.store.totals() == before

    async def test_a_job_that_dies_in_the_same_round_is_dead_already(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        for epoch in (1, 2, 3):
            await drive.lease("w1")
            if epoch < 3:
                await drive.fail("w1", f"j1#{epoch}")
            drive.advance(10)
        round_ = Round(
            reports=[failed("w1", "j1#3")],
            requeues=[Requeue("ann", job_id("j1"), job_id("j2"))],
            submissions=[submission("j2")],
            asks=[ask("w2")],
        )
        receipt = await drive.commit(round_)
        assert isinstance(receipt.submissions[0], type(receipt.requeues[0]))
        assert expect_job(receipt.requeues[0]).state is JobState.QUEUED
        assert [job.job_id for job in receipt.grants[0].grants] == [job_id("j2")]
        assert (await drive.job("j1")).position == 1

    async def test_a_foreign_job_is_unknown_and_everybody_s_is_one_s_own(self, dead: StoreDriver) -> None:
        for name, owner in (("j1", "bob"), ("j9", "ann"), ("j9", None)):
            assert isinstance(await dead.requeue(name, "j2", owner), NotFoundError)
        assert expect_job(await dead.requeue("j1", "j2", None)).owner == "ann"

    async def test_a_name_that_another_job_has_is_refused(self, dead: StoreDriver) -> None:
        await dead.submit("j2", owner="bob")
        for taken in ("j1", "j2"):
            assert isinstance(await dead.requeue("j1", taken), KeyReusedError)
        assert expect_job(await dead.requeue("j1", "j3")).job_id == job_id("j3")

    async def test_a_full_queue_takes_no_successor(self, dead: StoreDriver) -> None:
        for n in range(RULES.queue_jobs_max):
            await dead.submit(f"j{10 + n}")
        assert isinstance(await dead.requeue("j1", "j2"), QueueFullError)
        await dead.cancel("j10")
        one_too_many = Round(requeues=[Requeue("ann", job_id("j1"), job_id("j2"))], submissions=[submission("j3")])
        receipt = await dead.commit(one_too_many)
        assert expect_job(receipt.requeues[0]).job_id == job_id("j2")
        assert isinstance(receipt.submissions[0], QueueFullError)

    async def test_what_was_requeued_keeps_every_invariant(self, dead: StoreDriver) -> None:
        await dead.requeue("j1", "j2")
        dead.advance(100)
        assert list(await dead.store.check()) == []
        await dead.retire(dead.now, limit=1)
        assert list(await dead.store.check()) == []
        assert isinstance(await dead.requeue("j1", "j3"), NotFoundError)
