"""A round is one transaction: its order, all or nothing, and totals that are always exact. Invariants 1 and 6."""

# ruff: noqa: D102 — a test is described by its name
from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from dynwork.orchestrator.core import machine
from dynwork.orchestrator.core.backlog import Backlog
from dynwork.orchestrator.core.job import Job, JobState
from dynwork.orchestrator.core.machine import Verdict
from dynwork.orchestrator.store.commands import Cancel, Round
from dynwork.orchestrator.store.values import FeedPage, Totals
from dynwork.testing.store_contract.backend import RULES, Backend, StoreContract
from dynwork.testing.store_driver import (
    KIND,
    ONE_LANE,
    StoreDriver,
    ask,
    completed,
    failed,
    heartbeat,
    job_id,
    lease_names,
    name_of,
    of_kind,
    report,
    submission,
)


class RoundContract(StoreContract):
    """Several commands at once."""

    async def test_an_empty_round_is_an_empty_receipt(self, drive: StoreDriver) -> None:
        receipt = await drive.commit(Round())
        sizes = [len(part) for part in (receipt.verdicts, receipt.pulses, receipt.cancels, receipt.submissions)]
        assert (sizes, len(receipt.grants), receipt.claimable, receipt.ended) == ([0, 0, 0, 0], 0, 0, 0)
        assert await drive.store.totals() == Totals()
        assert await drive.store.feed("ann", None, 10) == FeedPage(next=0, jobs=[])

    async def test_reports_come_before_heartbeats_cancels_submissions_and_asks(self, drive: StoreDriver) -> None:
        await drive.submit("j1", steps=10_000)
        await drive.submit("j2", steps=10_000)
        await drive.lease("w1")
        receipt = await drive.commit(
            Round(
                asks=[ask("w1"), ask("w2")],
                submissions=[submission("j3", priority=9), submission("j4", priority=9, key="k")],
                cancels=[Cancel("ann", job_id("j2")), Cancel("ann", job_id("j3"))],
                heartbeats=[heartbeat("w1", "j1#1")],
                reports=[completed("w1", "j1#1@10000")],
            )
        )
        assert list(receipt.verdicts) == [Verdict.ACCEPTED]
        assert receipt.pulses[0].stale == heartbeat("w1", "j1#1").holding
        assert receipt.cancels[0] == await drive.job("j2")
        assert not isinstance(receipt.cancels[1], type(receipt.cancels[0]))
        assert [lease_names(grant.grants) for grant in receipt.grants] == ["j3#1", "j4#1"]
        assert receipt.ended == 2

    async def test_what_a_round_cancels_it_does_not_give_out(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.submit("j2")
        cancels = [Cancel("ann", job_id("j1")), Cancel("ann", job_id("j3"))]
        receipt = await drive.commit(Round(cancels=cancels, submissions=[submission("j3")], asks=[ask("w1")]))
        assert lease_names(receipt.grants[0].grants) == "j2#1"
        assert await drive.state("j1") is JobState.CANCELLED

    async def test_each_command_sees_what_those_before_it_did(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        receipt = await drive.commit(
            Round(reports=[failed("w1", "j1#1"), completed("w1", "j1#1"), completed("w1", "j1#1")])
        )
        assert list(receipt.verdicts) == [Verdict.ACCEPTED, Verdict.STALE, Verdict.STALE]

    async def test_feed_positions_follow_the_order_within_the_round(self, drive: StoreDriver) -> None:
        for n in range(1, 6):
            await drive.submit(f"j{n}", steps=11)
        await drive.lease("w1")
        await drive.commit(
            Round(
                submissions=[submission("j9", steps=1), submission("j6", steps=1)],
                cancels=[Cancel("ann", job_id("j2")), Cancel("ann", job_id("j1"))],
                reports=[completed("w1", "j4#1@11"), failed("w1", "j5#1"), completed("w1", "j3#1@11")],
            )
        )
        page = await drive.store.feed("ann", None, 10)
        assert [name_of(job) for job in page.jobs] == ["j4", "j3", "j2", "j1", "j9", "j6"]
        assert [job.position for job in page.jobs] == [1, 2, 3, 4, 5, 6]

    async def test_answers_are_the_jobs_as_they_are_after_their_command(self, drive: StoreDriver) -> None:
        receipt = await drive.commit(Round(submissions=[submission("j1", steps=1), submission("j1", steps=1)]))
        assert list(receipt.submissions) == [await drive.job("j1")] * 2

    async def test_a_round_that_fails_changes_nothing(self, drive: StoreDriver, backend: Backend) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        before = await self._everything(drive)
        poisoned = Round(
            reports=[completed("w1", "j1#1"), report("w1", "j2#1", machine.Failed("broken", "", jitter=2.0))],
            heartbeats=[heartbeat("w2")],
            submissions=[submission("j3"), submission("j4", steps=1)],
            asks=[ask("w3")],
        )
        await drive.submit("j2")
        await drive.lease("w1", "j1#1", pace=heartbeat("w1").paces)
        await drive.cancel("j2")
        before = await self._everything(drive)
        assert (await drive.commit(Round(reports=poisoned.reports[1:]))).verdicts[0] is Verdict.STALE
        assert await self._everything(drive) == before
        bad = report("w1", "j1#1", machine.Failed("broken", "", jitter=2.0))
        with pytest.raises(ValueError, match="jitter"):
            await drive.commit(replace(poisoned, reports=[bad]))
        assert await self._everything(drive) == before
        drive.store = await backend.restart(drive.store)
        assert await self._everything(drive) == before

    async def test_totals_are_what_a_recount_gives_after_everything(self, drive: StoreDriver) -> None:
        everyone: list[str] = []
        for n in range(1, 9):
            everyone.append(f"j{n}")
            await drive.try_submit(of_kind(f"j{n}", "other" if n % 2 else KIND, steps=1 if n == 8 else 10 * n))
        await self._recounted(drive, everyone)
        both = dict.fromkeys((KIND, "other"), ONE_LANE)
        await drive.lease("w1", pace=both)
        await drive.beat("w1", "j1#1@5", both)
        await self._recounted(drive, everyone)
        await drive.complete("w1", "j1#1@10")
        await drive.fail("w1", "j2#1")
        await drive.release("w1", "j3#1@15")
        await drive.cancel("j4")
        await drive.cancel("j7")
        await drive.try_submit(of_kind("j1", "other", steps=10))
        await self._recounted(drive, everyone)
        await drive.store.worker_gone("w1", drive.now)
        await self._recounted(drive, everyone)
        for _ in range(RULES.retry.losses_max + 1):
            await drive.lease("w1", pace=both)
            await drive.store.worker_gone("w1", drive.now)
            drive.advance(5)
            await self._recounted(drive, everyone)
        assert (await drive.store.totals()).dead > 0

    async def test_a_backlog_beyond_64_bits_is_a_number(self, drive: StoreDriver) -> None:
        for n in range(1, 13):
            await drive.submit(f"j{n}", steps=10**18)
        backlog = (await drive.store.totals()).backlog_steps
        assert backlog == pytest.approx(1.2e19)

    async def _recounted(self, drive: StoreDriver, names: list[str]) -> None:
        """Compare the totals with the jobs: acknowledged = queued + leased + terminal."""
        jobs = [await drive.job(name) for name in names]
        totals = await drive.store.totals()
        count = Counter(job.state for job in jobs)
        assert totals == Totals(
            queued=count[JobState.QUEUED],
            leased=count[JobState.LEASED],
            succeeded=count[JobState.SUCCEEDED],
            dead=count[JobState.DEAD],
            cancelled=count[JobState.CANCELLED],
            backlog={kind: self._backlog(jobs, kind) for kind in {job.kind for job in jobs if not job.terminal}},
            submitted=len(jobs),
            completed=count[JobState.SUCCEEDED],
        )

    def _backlog(self, jobs: list[Job], kind: str) -> Backlog:
        open_ = [job for job in jobs if job.kind == kind and not job.terminal]
        queued = sum(job.state is JobState.QUEUED for job in open_)
        return Backlog(queued, float(sum(job.chain.remaining for job in open_)))

    async def _everything(self, drive: StoreDriver) -> list[object]:
        jobs = [await drive.store.job("ann", job_id(f"j{n}")) for n in range(1, 6)]
        page = await drive.store.feed("ann", None, 100)
        return [*jobs, list(page.jobs), page.next, await drive.store.totals(), list(await drive.store.workers())]
