"""What workers say, over HTTP: one verdict each, the same when repeated."""

from dynwork import wire
from dynwork.orchestrator.store.commands import Round
from dynwork.testing.orchestrator import OWNER, Bench, job_id, running

DONE = b"\xaa\xbb"


def ref(number: int, epoch: int = 1) -> dict[str, object]:
    return {"job_id": job_id(number), "epoch": epoch}


def completed(number: int, epoch: int = 1, done: int = 100) -> wire.Checkpoint:
    return wire.Checkpoint(job_id=job_id(number), epoch=epoch, state=DONE, done=done)


def report(worker: str = "w", **parts: list[wire.Checkpoint] | list[wire.Failure]) -> wire.ReportAsk:
    return wire.ReportAsk.model_validate({"worker_id": worker, "incarnation": f"{worker}-1", **parts})


async def say(bench: Bench, message: wire.ReportAsk) -> list[str]:
    reply = await bench.call("/internal/report", wire.ReportReply, message)
    return [judged.verdict for judged in reply.results]


async def beat(bench: Bench, holding: list[wire.HeldRef], *checkpoints: wire.Checkpoint) -> wire.HeartbeatReply:
    message = wire.HeartbeatAsk(
        worker_id="w", incarnation="w-1", capacity=10, chain_speed=10, holding=holding, checkpoints=list(checkpoints)
    )
    return await bench.call("/internal/heartbeat", wire.HeartbeatReply, message)


def held(number: int, epoch: int = 1) -> wire.HeldRef:
    return wire.HeldRef(job_id=job_id(number), epoch=epoch)


async def leased(bench: Bench, *numbers: int) -> None:
    """Have worker w hold these jobs: one lane takes one, so its asks forget what it holds on purpose."""
    await bench.submit(*numbers)
    for _ in numbers:
        message = wire.LeaseAsk(worker_id="w", incarnation="w-1", capacity=1000, chain_speed=10, lanes=100)
        await bench.call("/internal/lease", wire.LeaseReply, message)


async def test_from_submission_to_result(bench: Bench) -> None:
    submitted = await bench.submit(1)
    assert [(item.job_id, item.error) for item in submitted.results] == [(job_id(1), None)]
    assert (await bench.job(1)).state == "queued"

    lease = await bench.lease("w")
    assert (lease.drain, lease.heartbeat_s, lease.lease_s) == (False, 3.0, 9.0)
    assert [(grant.job_id, grant.epoch, grant.done, grant.total) for grant in lease.grants] == [(job_id(1), 1, 1, 100)]

    await bench.clock.advance(3)
    pulse = await beat(bench, [held(1)], completed(1, done=40))
    assert (pulse.cancelled, pulse.stale, pulse.grants, pulse.drain) == ([], [], [], False)
    assert ((await bench.job(1)).done, (await bench.job(1)).eta_s) == (40, 6.0)

    assert await say(bench, report(completed=[completed(1)])) == ["accepted"]
    job = await bench.job(1)
    assert (job.state, job.hash, job.percent) == ("succeeded", "aabb", 100.0)
    page = await bench.call(f"/internal/results?owner={OWNER}", wire.ResultsReply)
    assert [(entry.job_id, entry.hash) for entry in page.results] == [(job_id(1), "aabb")]
    top = await bench.call(f"/internal/completed?owner={OWNER}&top=5", wire.CompletedReply)
    assert [(entry.job_id, entry.hash) for entry in top.results] == [(job_id(1), "aabb")]
    after = await bench.call(f"/internal/results?owner={OWNER}&after={page.next}", wire.ResultsReply)
    assert (after.results, after.next) == ([], page.next)


async def test_verdicts_come_in_the_order_completed_failed_released(bench: Bench) -> None:
    await leased(bench, 1, 2, 3)
    failure = wire.Failure.model_validate({**ref(2), "code": "broken", "detail": "as it says"})
    message = report(released=[completed(3, done=50)], failed=[failure], completed=[completed(9), completed(1)])
    reply = await bench.call("/internal/report", wire.ReportReply, message)
    assert [(one.job_id, one.verdict) for one in reply.results] == [
        (job_id(9), "stale"),
        (job_id(1), "accepted"),
        (job_id(2), "accepted"),
        (job_id(3), "accepted"),
    ]
    assert [(await bench.job(number)).state for number in (1, 2, 3)] == ["succeeded", "queued", "queued"]
    assert (await bench.job(3)).done == 50
    page = (await bench.http.get("/metrics")).text
    assert 'dynwork_reports_total{event="completed",verdict="accepted"} 1.0' in page
    assert 'dynwork_reports_total{event="completed",verdict="stale"} 1.0' in page


async def test_a_repeated_report_gets_the_same_answer(bench: Bench) -> None:
    await leased(bench, 1, 2)
    failure = wire.Failure.model_validate({**ref(2), "code": "broken"})
    message = report(completed=[completed(1)], failed=[failure])
    assert await say(bench, message) == await say(bench, message) == ["accepted", "accepted"]
    assert (await bench.job(2)).attempts == 1


async def test_a_failure_waits_for_its_jittered_backoff() -> None:
    async with running(retry_backoff_s=8) as bench:
        await leased(bench, 1)
        await say(bench, report(failed=[wire.Failure.model_validate({**ref(1), "code": "broken"})]))
        job = await bench.store.job(OWNER, job_id(1))
        assert job is not None
        assert job.not_before == bench.clock.now() + 8 * (0.5 + 0.5 / 2)  # the bench draws 0.5


async def test_an_epoch_of_the_past_changes_nothing(bench: Bench) -> None:
    await leased(bench, 1)
    await say(bench, report(released=[completed(1, done=10)]))
    await bench.lease("other")
    assert await say(bench, report(completed=[completed(1)])) == ["stale"]
    assert (await bench.job(1)).worker_id == "other"


async def test_a_heartbeat_tells_of_cancelled_stale_and_lost_leases(bench: Bench) -> None:
    await leased(bench, 1, 2)
    await bench.http.post(f"/internal/jobs/{job_id(1)}/cancel?owner={OWNER}")
    pulse = await beat(bench, [held(1), held(7)])
    assert pulse.cancelled == [held(1)]
    assert pulse.stale == [held(7)]
    assert [(grant.job_id, grant.epoch) for grant in pulse.grants] == [(job_id(2), 1)]


async def test_a_report_about_a_cancelled_job_is_over(bench: Bench) -> None:
    await leased(bench, 1)
    await bench.http.post(f"/internal/jobs/{job_id(1)}/cancel?owner={OWNER}")
    assert await say(bench, report(completed=[completed(1)])) == ["over"]


async def test_a_heartbeat_may_hold_twenty_thousand_leases(bench: Bench) -> None:
    await leased(bench, 1)
    pulse = await beat(bench, [held(number) for number in range(1, wire.HELD_MAX + 1)])
    assert len(pulse.stale) == wire.HELD_MAX - 1


async def test_a_lease_listed_twice_is_told_once(bench: Bench) -> None:
    pulse = await beat(bench, [held(7), held(7)])
    assert pulse.stale == [held(7)]


async def test_a_report_that_the_store_cannot_take_uses_up_an_attempt(bench: Bench) -> None:
    await leased(bench, 1, 2)

    def poison(round_: Round) -> bool:
        return any(one.held.job_id == job_id(1) and hasattr(one.event, "state") for one in round_.reports)

    bench.store.poison = poison
    assert await say(bench, report(completed=[completed(1), completed(2)])) == ["accepted", "accepted"]
    job = await bench.job(1)
    assert (job.state, job.attempts, job.error and job.error.code) == ("queued", 1, "report_failed")
    assert (await bench.job(2)).state == "succeeded"


async def test_a_report_that_cannot_be_taken_in_any_way_is_stale(bench: Bench) -> None:
    await leased(bench, 1)
    bench.store.poison = lambda round_: bool(round_.reports)
    assert await say(bench, report(completed=[completed(1)])) == ["stale"]
    assert (await bench.job(1)).state == "leased"


async def test_an_empty_report_is_answered_emptily(bench: Bench) -> None:
    assert await say(bench, report()) == []
