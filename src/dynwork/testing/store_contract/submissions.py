"""Submitting, cancelling, looking: invariants 3 and 5, and the owners."""

# ruff: noqa: D102 — a test is described by its name
from __future__ import annotations

import asyncio
from dataclasses import replace

from dynwork.errors import DynworkError, JobFinishedError, KeyReusedError, NotFoundError, QueueFullError
from dynwork.orchestrator.core import machine
from dynwork.orchestrator.core.job import Chain, Job, JobError, JobState, Lease, Submission
from dynwork.orchestrator.core.worker import Pace, WorkerFacts
from dynwork.orchestrator.store.commands import Ask, Cancel, Held, Report, Round
from dynwork.testing.store_contract.backend import RULES, Backend, StoreContract
from dynwork.testing.store_driver import START, StoreDriver, failed, job_id, submission


def _short(answers: list[Job | DynworkError]) -> list[str]:
    return [answer.code if isinstance(answer, DynworkError) else answer.job_id for answer in answers]


class SubmissionContract(StoreContract):
    """How jobs enter and leave by their owner's will."""

    async def test_a_submitted_job_is_queued_as_it_was_given(self, drive: StoreDriver) -> None:
        given = submission("j1", key="k", steps=500, priority=7)
        answer = await drive.try_submit(given)
        assert answer == await drive.job("j1")
        assert answer == Job(
            job_id=job_id("j1"),
            owner="ann",
            key="k",
            fingerprint=given.fingerprint,
            kind="sha512-chain",
            priority=7,
            start=Chain(b"start", 1, 500),
            chain=Chain(b"start", 1, 500),
            state=JobState.QUEUED,
            not_before=START,
            created_at=START,
            lease=Lease(),
        )

    async def test_the_longest_and_oddest_that_the_wire_lets_through_is_kept_as_it_is(self, drive: StoreDriver) -> None:
        odd = "'\"\\\t\u0001é☃𝄞"
        owner, key, kind = odd.ljust(64, "ä"), odd.ljust(256, "ß"), odd.ljust(64, "k").replace(",", "")
        chain = Chain(bytes(range(256)) * 16, 10**15 - 1, 10**15)
        given = Submission(job_id("j1"), owner, key, kind, 9, chain)
        answer = await drive.try_submit(given)
        assert answer == await drive.job("j1", owner)
        facts = WorkerFacts(
            *(odd.ljust(64, "w"), odd.ljust(64, "i"), {kind: Pace(1e15, 1e15, 65536)}, (kind,)),
            instance_id=odd.ljust(64, "m"),
            host=odd.ljust(255, "h"),
            pid=2**62,
            path=odd.ljust(64, "p"),
            started_at=1e11,
        )
        grants = (await drive.commit(Round(asks=[Ask(facts)]))).grants[0].grants
        assert [job.chain for job in grants] == [chain]
        assert [worker.facts for worker in await drive.store.workers()] == [facts]
        error = machine.Failed(odd.ljust(64, "c"), odd.ljust(2000, "d"), 0.0)
        held = Held(job_id("j1"), 1)
        for _ in range(RULES.retry.attempts_max):
            await drive.commit(Round(reports=[Report(facts.worker_id, facts.incarnation, held, error)]))
            drive.advance(100)
            grants = (await drive.commit(Round(asks=[Ask(facts)]))).grants[0].grants
            held = Held(job_id("j1"), grants[0].lease.epoch if grants else 0)
        assert (await drive.job("j1", owner)).error == JobError(error.code, error.detail)

    async def test_a_chain_of_one_step_succeeds_on_arrival(self, drive: StoreDriver) -> None:
        job = await drive.submit("j1", steps=1)
        assert (job.state, job.started_at, job.completed_at, job.position) == (JobState.SUCCEEDED, START, START, 1)

    async def test_requeued_from_is_kept(self, drive: StoreDriver) -> None:
        await drive.try_submit(replace(submission("j2"), requeued_from=job_id("j1")))
        assert (await drive.job("j2")).requeued_from == job_id("j1")

    async def test_a_repeated_id_is_answered_with_the_job_as_it_is_now(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        assert (await drive.submit("j1")).state is JobState.LEASED
        await drive.complete("w1", "j1#1")
        assert (await drive.submit("j1")).state is JobState.SUCCEEDED
        assert (await drive.store.totals()).submitted == 1

    async def test_a_repeated_key_is_answered_with_the_first_job_in_any_state(self, drive: StoreDriver) -> None:
        await drive.submit("j1", key="k")
        assert (await drive.submit("j2", key="k")).job_id == job_id("j1")
        await drive.cancel("j1")
        assert (await drive.submit("j3", key="k")).state is JobState.CANCELLED
        assert await drive.store.job("ann", job_id("j2")) is None

    async def test_a_key_with_another_fingerprint_is_refused(self, drive: StoreDriver) -> None:
        await drive.submit("j1", key="k")
        for other in (submission("j2", key="k", steps=101), submission("j2", key="k", priority=6)):
            assert isinstance(await drive.try_submit(other), KeyReusedError)
        assert (await drive.store.totals()).submitted == 1

    async def test_a_key_belongs_to_its_owner(self, drive: StoreDriver) -> None:
        await drive.submit("j1", key="k")
        assert (await drive.submit("j2", owner="bob", key="k", steps=7)).job_id == job_id("j2")

    async def test_an_id_used_by_another_owner_or_for_other_work_is_refused(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        assert isinstance(await drive.try_submit(submission("j1", owner="bob")), KeyReusedError)
        assert isinstance(await drive.try_submit(submission("j1", steps=7)), KeyReusedError)
        assert await drive.store.job("bob", job_id("j1")) is None

    async def test_without_a_key_equal_work_is_new_work(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.submit("j2")
        assert (await drive.store.totals()).queued == 2

    async def test_repetitions_within_one_round_are_found(self, drive: StoreDriver) -> None:
        receipt = await drive.commit(
            Round(
                submissions=[
                    submission("j1", key="k"),
                    submission("j1", key="k"),
                    submission("j2", key="k"),
                    submission("j3", key="k", steps=7),
                    submission("j1", owner="bob"),
                    submission("j4"),
                ]
            )
        )
        j1, j4 = job_id("j1"), job_id("j4")
        assert _short(list(receipt.submissions)) == [j1, j1, j1, "key_reused", "key_reused", j4]
        assert (await drive.store.totals()).submitted == 2

    async def test_the_same_submission_twice_at_once_makes_one_job(self, drive: StoreDriver) -> None:
        rounds = [drive.commit(Round(submissions=[submission(f"j{n}", key="k")])) for n in (1, 2, 3)]
        answers = [receipt.submissions[0] for receipt in await asyncio.gather(*rounds)]
        assert len(set(_short(answers))) == 1
        assert (await drive.store.totals()).queued == 1

    async def test_a_full_queue_refuses_new_jobs_only(self, drive: StoreDriver) -> None:
        full = [submission(f"j{n}") for n in range(1, RULES.queue_jobs_max + 1)]
        receipt = await drive.commit(Round(submissions=[*full, submission("j100"), submission("j1")]))
        assert isinstance(receipt.submissions[-2], QueueFullError)
        assert isinstance(receipt.submissions[-1], Job)
        assert isinstance(await drive.try_submit(submission("j101")), QueueFullError)
        assert (await drive.submit("j102", steps=1)).state is JobState.SUCCEEDED
        await drive.lease("w1")
        await drive.submit("j103")

    async def test_the_queue_is_as_full_as_the_commands_before_have_left_it(self, drive: StoreDriver) -> None:
        names = [f"j{n}" for n in range(1, RULES.queue_jobs_max + 1)]
        await drive.commit(Round(submissions=[submission(name) for name in names]))
        assert await drive.lease("w1") == "j1#1"
        receipt = await drive.commit(Round(reports=[failed("w1", "j1#1")], submissions=[submission("j100")]))
        assert _short(list(receipt.submissions)) == ["queue_full"], "a place was taken by what came back"
        gone = Cancel("ann", job_id("j2"))
        receipt = await drive.commit(Round(cancels=[gone], submissions=[submission("j101"), submission("j102")]))
        assert _short(list(receipt.submissions)) == [job_id("j101"), "queue_full"], "a place was given up"

    async def test_foreign_jobs_are_unknown(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        assert await drive.store.job("bob", job_id("j1")) is None
        assert isinstance(await drive.cancel("j1", owner="bob"), NotFoundError)
        assert await drive.state("j1") is JobState.QUEUED

    async def test_cancelling_ends_a_queued_and_a_leased_job(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        await drive.lease("w1")
        await drive.submit("j2")
        drive.advance(2)
        for name in ("j1", "j2"):
            answer = await drive.cancel(name)
            assert answer == await drive.job(name)
            assert isinstance(answer, Job)
            assert (answer.state, answer.completed_at) == (JobState.CANCELLED, drive.now)

    async def test_cancelling_again_is_the_same_answer(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        first = await drive.cancel("j1")
        drive.advance(5)
        assert await drive.cancel("j1") == first
        receipt = await drive.commit(Round(cancels=[Cancel("ann", job_id("j1")), Cancel("ann", job_id("j9"))]))
        assert receipt.cancels[0] == first
        assert isinstance(receipt.cancels[1], NotFoundError)

    async def test_a_finished_job_cannot_be_cancelled(self, drive: StoreDriver) -> None:
        await drive.submit("j1", steps=1)
        assert isinstance(await drive.cancel("j1"), JobFinishedError)
        assert await drive.state("j1") is JobState.SUCCEEDED

    async def test_what_was_acknowledged_is_there_after_a_restart(self, drive: StoreDriver, backend: Backend) -> None:
        await drive.submit("j1", key="k", priority=9)
        await drive.submit("j2")
        await drive.lease("w1")
        cluster = await drive.store.cluster_id()
        before = [await drive.job("j1"), await drive.job("j2"), await drive.store.totals(), await drive.store.workers()]
        drive.store = await backend.restart(drive.store)
        after = [await drive.job("j1"), await drive.job("j2"), await drive.store.totals(), await drive.store.workers()]
        assert after == before
        assert await drive.store.cluster_id() == cluster
        assert (await drive.submit("j3", key="k", priority=9)).job_id == job_id("j1")
