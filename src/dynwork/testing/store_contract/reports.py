"""Fencing: which reports count. Invariants 2, 4 and 9."""

# ruff: noqa: D102 — a test is described by its name
from __future__ import annotations

from collections.abc import Callable

import pytest

from dynwork.orchestrator.core.job import Chain, JobState
from dynwork.orchestrator.core.machine import Verdict
from dynwork.orchestrator.store.commands import Report, Round
from dynwork.testing.store_contract.backend import RULES, StoreContract
from dynwork.testing.store_driver import START, StoreDriver, completed, failed, job_id, released

LEASE_S = RULES.leasing.lease_s
EVERY_REPORT = pytest.mark.parametrize("make", [completed, failed, released])


class ReportContract(StoreContract):
    """Complete, fail, release: now, late, twice, from the wrong one."""

    async def test_a_completed_chain_succeeds_with_its_state(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        drive.advance(3)
        assert await drive.complete("w1", "j1#1") is Verdict.ACCEPTED
        job = await drive.job("j1")
        assert (job.state, job.chain, job.completed_at) == (JobState.SUCCEEDED, Chain(b"j1@100", 100, 100), START + 3)
        assert (job.attempts, job.position, job.error) == (0, 1, None)

    async def test_an_incomplete_result_is_an_error_of_the_work(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        assert await drive.complete("w1", "j1#1@99") is Verdict.ACCEPTED
        job = await drive.job("j1")
        assert (job.state, job.attempts, job.chain.done) == (JobState.QUEUED, 1, 1)

    async def test_errors_of_the_work_are_retried_later_then_the_job_is_dead(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        for attempt in (1, 2, 3):
            assert await drive.lease("w1") == f"j1#{attempt}"
            assert await drive.fail("w1", f"j1#{attempt}") is Verdict.ACCEPTED
            job = await drive.job("j1")
            assert (job.attempts, job.error and job.error.code) == (attempt, "broken")
            drive.advance(10)
        assert (job.state, job.position) == (JobState.DEAD, 1)
        assert await drive.lease("w1") == ""

    async def test_a_released_job_keeps_place_and_progress_and_costs_no_attempt(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        drive.advance(1)
        assert await drive.release("w1", "j1#1@70") is Verdict.ACCEPTED
        job = await drive.job("j1")
        assert (job.state, job.not_before, job.chain.done) == (JobState.QUEUED, START, 70)
        assert (job.attempts, job.losses) == (0, 0)
        assert await drive.lease("w2") == "j1#2"

    @EVERY_REPORT
    async def test_a_repeated_report_gets_the_same_answer_and_changes_nothing(
        self, drive: StoreDriver, make: Callable[[str, str], Report]
    ) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        one = make("w1", "j1#1")
        receipt = await drive.commit(Round(reports=[one, one]))
        assert list(receipt.verdicts) == [Verdict.ACCEPTED, Verdict.ACCEPTED]
        after = await drive.job("j1"), await drive.store.totals()
        drive.advance(1)
        assert (await drive.commit(Round(reports=[one]))).verdicts[0] is Verdict.ACCEPTED
        assert (await drive.job("j1"), await drive.store.totals()) == after

    @EVERY_REPORT
    async def test_a_late_report_counts_until_the_job_is_leased_again(
        self, drive: StoreDriver, make: Callable[[str, str], Report]
    ) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        drive.advance(LEASE_S + 1)
        await drive.expire()
        assert (await drive.commit(Round(reports=[make("w1", "j1#1")]))).verdicts[0] is Verdict.ACCEPTED

    @EVERY_REPORT
    async def test_a_stale_epoch_changes_nothing(self, drive: StoreDriver, make: Callable[[str, str], Report]) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        drive.advance(LEASE_S + 1)
        await drive.expire()
        assert await drive.lease("w2") == "j1#2"
        before = await drive.job("j1"), await drive.store.totals()
        receipt = await drive.commit(Round(reports=[make("w1", "j1#1")]))
        assert (receipt.verdicts[0], receipt.ended, receipt.claimable) == (Verdict.STALE, 0, 0)
        assert (await drive.job("j1"), await drive.store.totals()) == before
        assert await drive.complete("w2", "j1#2") is Verdict.ACCEPTED

    @pytest.mark.parametrize(("worker", "lease"), [("w1/2", "j1#1"), ("w2", "j1#1"), ("w1", "j1#2"), ("w1", "j9#1")])
    async def test_a_report_that_names_no_lease_is_stale(self, drive: StoreDriver, worker: str, lease: str) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        assert await drive.complete(worker, lease) is Verdict.STALE
        assert await drive.state("j1") is JobState.LEASED

    async def test_the_old_process_is_heard_after_a_new_incarnation_came(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        assert await drive.lease("w1/2", kinds="other") == ""
        assert await drive.complete("w1", "j1#1") is Verdict.ACCEPTED
        assert await drive.state("j1") is JobState.SUCCEEDED

    async def test_a_released_lease_cannot_be_completed(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        await drive.release("w1", "j1#1@50")
        assert await drive.complete("w1", "j1#1") is Verdict.STALE
        assert await drive.state("j1") is JobState.QUEUED

    async def test_a_report_on_a_cancelled_job_is_told_that_it_is_over(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        await drive.cancel("j1")
        assert await drive.complete("w1", "j1#1") is Verdict.OVER
        assert await drive.state("j1") is JobState.CANCELLED

    async def test_a_terminal_job_never_changes(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        await drive.complete("w1", "j1#1")
        before = await drive.job("j1")
        drive.advance(1)
        await drive.fail("w1", "j1#1")
        await drive.release("w1", "j1#1@50")
        await drive.complete("w2", "j1#1")
        await drive.cancel("j1")
        await drive.beat("w1", "j1#1@50")
        drive.advance(LEASE_S + 1)
        await drive.expire()
        assert await drive.lease("w2") == ""
        assert await drive.job("j1") == before

    async def test_one_result_when_two_workers_race(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        await drive.store.worker_gone("w1", drive.now)
        await drive.lease("w2")
        late = completed("w1", "j1#1")
        receipt = await drive.commit(Round(reports=[late, completed("w2", "j1#2"), late]))
        assert list(receipt.verdicts) == [Verdict.STALE, Verdict.ACCEPTED, Verdict.STALE]
        assert [job.job_id for job in (await drive.store.feed("ann", None, 10)).jobs] == [job_id("j1")]

    async def test_done_never_decreases_and_never_passes_the_end(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        for checkpoint, expected in [(40, 40), (30, 40), (40, 40), (101, 40), (99, 99)]:
            await drive.beat("w1", f"j1#1@{checkpoint}")
            assert (await drive.job("j1")).chain.done == expected
        await drive.release("w1", "j1#1@50")
        assert (await drive.job("j1")).chain == Chain(b"j1@99", 99, 100)

    async def test_a_checkpoint_counts_from_the_current_lease_only(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        await drive.store.worker_gone("w1", drive.now)
        await drive.lease("w2")
        await drive.beat("w1", "j1#1@60")
        await drive.beat("w1", "j1#2@60")
        await drive.beat("w2", "j1#1@60")
        assert (await drive.job("j1")).chain.done == 1
        await drive.beat("w2", "j1#2@60")
        assert (await drive.job("j1")).chain.done == 60
