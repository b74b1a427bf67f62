"""How jobs and the fleet look from outside, to the letter."""

from dataclasses import replace

import pytest

from dynwork.orchestrator import views
from dynwork.orchestrator.core.backlog import Backlog
from dynwork.orchestrator.core.instance import Instance, InstanceState
from dynwork.orchestrator.core.job import Chain, Job, JobError, JobState, Lease
from dynwork.orchestrator.core.machine import submit
from dynwork.orchestrator.core.worker import Pace, Worker, WorkerFacts, WorkerState
from dynwork.orchestrator.store.values import Totals
from dynwork.testing.orchestrator import KIND, job_id, submission

AT = 1_700_000_000.25
NOTHING = views.Outlook()
EIGHT_HUNDRED = Totals(backlog={KIND: Backlog(2, 800.0)})


def queued() -> Job:
    return submit(submission(1, total=400), AT)


def leased(done: int = 100) -> Job:
    chain = Chain(b"\x0a\xff", done, 400)
    return replace(queued(), state=JobState.LEASED, chain=chain, lease=Lease(2, "w", "w-1"), started_at=AT + 1)


def worker(worker_id: str, capacity: float = 100, speed: float = 50, state: WorkerState = WorkerState.READY) -> Worker:
    facts = WorkerFacts(worker_id, f"{worker_id}-1", {KIND: Pace(capacity, speed, 2)})
    return Worker(facts, state, lease_until=AT + 9, last_seen_at=AT, busy_at=AT, leases=3)


def test_a_queued_job() -> None:
    assert views.job(queued(), NOTHING).model_dump() == {
        "job_id": job_id(1),
        "owner": "local",
        "state": "queued",
        "kind": "sha512-chain",
        "iterations": 400,
        "done": 1,
        "percent": 0.25,
        "priority": 5,
        "attempts": 0,
        "worker_id": None,
        "created_at": "2023-11-14T22:13:20.250Z",
        "started_at": None,
        "completed_at": None,
        "eta_s": None,
        "hash": None,
        "error": None,
        "requeued_from": None,
    }


def test_a_leased_job_names_its_worker_and_shows_no_hash() -> None:
    seen = views.job(leased(), NOTHING)
    assert (seen.worker_id, seen.percent, seen.hash) == ("w", 25.0, None)
    assert seen.started_at == "2023-11-14T22:13:21.250Z"


def test_a_succeeded_job_shows_its_hash() -> None:
    seen = views.job(replace(leased(400), state=JobState.SUCCEEDED, completed_at=AT + 60), NOTHING)
    assert (seen.hash, seen.percent, seen.worker_id) == ("0aff", 100.0, "w")
    assert seen.completed_at == "2023-11-14T22:14:20.250Z"


def test_a_dead_job_shows_its_error_and_no_hash() -> None:
    dead = replace(leased(), state=JobState.DEAD, error=JobError("bad", "worse"), attempts=5, completed_at=AT)
    seen = views.job(dead, NOTHING)
    assert seen.error is not None
    assert (seen.error.code, seen.error.detail, seen.hash, seen.attempts) == ("bad", "worse", None, 5)


def test_a_job_that_expired_belongs_to_no_worker() -> None:
    assert views.job(replace(leased(), state=JobState.QUEUED), NOTHING).worker_id is None


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.DEAD, JobState.CANCELLED])
def test_what_has_ended_has_no_estimate(state: JobState) -> None:
    assert views.eta_s(replace(leased(), state=state), views.Outlook({KIND: {"w": 50.0}}, 10.0)) is None


def test_a_leased_job_advances_at_the_speed_of_its_worker() -> None:
    assert views.eta_s(leased(), views.Outlook({KIND: {"w": 50.0, "fast": 150.0}}, 99.0)) == 300 / 50


def test_a_worker_not_known_is_expected_to_be_average() -> None:
    assert views.eta_s(leased(), views.Outlook({KIND: {"a": 50.0, "b": 150.0}}, 99.0)) == 300 / 100


def test_a_queued_job_waits_for_the_work_ahead_first() -> None:
    assert views.eta_s(queued(), views.Outlook({KIND: {"a": 50.0, "b": 150.0}}, 8.0)) == 8.0 + 399 / 100


def test_without_workers_nothing_is_estimated() -> None:
    assert views.eta_s(leased(), NOTHING) is None
    assert views.eta_s(queued(), NOTHING) is None


def test_the_backlog_is_borne_by_the_capacity_of_ready_workers() -> None:
    fleet = [worker("a", 100), worker("b", 300), worker("gone", 999, state=WorkerState.LOST)]
    fleet.append(worker("leaving", 999, state=WorkerState.DRAINING))
    assert views.outlook(EIGHT_HUNDRED, fleet) == views.Outlook({KIND: {"a": 50, "b": 50}}, 2.0)


def test_without_capacity_the_backlog_has_no_duration() -> None:
    for backlog in (EIGHT_HUNDRED, Totals()):
        assert views.outlook(backlog, []) == NOTHING
        assert views.outlook(backlog, [worker("a", 0, 0)]) == NOTHING


def with_slow(worker: Worker, capacity: float, speed: float) -> Worker:
    paces = {**worker.facts.paces, "slow": Pace(capacity, speed, 2)}
    return replace(worker, facts=replace(worker.facts, paces=paces))


def test_the_steps_of_each_kind_are_borne_by_the_capacity_for_that_kind() -> None:
    totals = Totals(backlog={KIND: Backlog(2, 800.0), "slow": Backlog(2, 5.0)})
    fleet = [with_slow(worker("a", 100), 0.4, 0.2), with_slow(worker("b", 300), 0.1, 0.05)]
    seen = views.outlook(totals, fleet)
    assert seen.backlog_s == 800 / 400 + 5 / 0.5
    assert seen.chain_speeds["slow"] == {"a": 0.2, "b": 0.05}


def test_work_of_a_kind_that_nobody_has_measured_has_no_duration() -> None:
    totals = Totals(backlog={KIND: Backlog(2, 800.0), "slow": Backlog(1, 5.0)})
    fleet = [with_slow(worker("a", 100), 0.0, 0.0)]
    assert views.outlook(totals, fleet).backlog_s is None
    assert views.outlook(EIGHT_HUNDRED, fleet).backlog_s == 8.0, "with nothing of it ahead, it is no matter"


def test_a_job_is_expected_to_run_at_the_speed_of_its_own_kind() -> None:
    ahead = views.Outlook({KIND: {"w": 50.0}, "slow": {"w": 0.5, "other": 1.5}}, 8.0)
    assert views.eta_s(replace(leased(), kind="slow"), ahead) == 300 / 0.5
    assert views.eta_s(replace(queued(), kind="slow"), ahead) == 8.0 + 399 / 1.0


@pytest.mark.parametrize("job", [queued(), leased()])
def test_a_job_of_a_kind_that_nobody_has_measured_has_no_estimate(job: Job) -> None:
    assert views.eta_s(replace(job, kind="slow"), views.Outlook({KIND: {"w": 50.0}}, 8.0)) is None


def test_a_worker_is_shown_with_its_pace_at_the_default_kind() -> None:
    seen = views.worker(with_slow(worker("a"), 0.4, 0.2))
    assert (seen.capacity, seen.chain_speed, seen.lanes) == (100.0, 50.0, 2)
    facts = replace(worker("a").facts, paces={"slow": Pace(0.4, 0.2, 2)})
    assert views.worker(replace(worker("a"), facts=facts)).capacity == 0.0


def test_entries_of_the_feed() -> None:
    dead = replace(leased(), state=JobState.DEAD, error=JobError("bad", "worse"), completed_at=AT)
    good = replace(leased(400), state=JobState.SUCCEEDED, completed_at=AT)
    assert [entry.model_dump() for entry in views.results([dead, good])] == [
        {
            "job_id": job_id(1),
            "state": "dead",
            "hash": None,
            "iterations": 400,
            "completed_at": "2023-11-14T22:13:20.250Z",
            "error": {"code": "bad", "detail": "worse"},
        },
        {
            "job_id": job_id(1),
            "state": "succeeded",
            "hash": "0aff",
            "iterations": 400,
            "completed_at": "2023-11-14T22:13:20.250Z",
            "error": None,
        },
    ]


def test_completed_jobs() -> None:
    good = replace(leased(400), state=JobState.SUCCEEDED, completed_at=AT)
    assert [entry.model_dump() for entry in views.completed([good])] == [
        {"job_id": job_id(1), "hash": "0aff", "iterations": 400, "completed_at": "2023-11-14T22:13:20.250Z"}
    ]


def test_a_worker() -> None:
    facts = replace(worker("w").facts, instance_id="i", host="h", pid=7, path="c", started_at=AT - 1)
    assert views.worker(replace(worker("w"), facts=facts)).model_dump() == {
        "worker_id": "w",
        "instance_id": "i",
        "pid": 7,
        "host": "h",
        "state": "ready",
        "capacity": 100.0,
        "chain_speed": 50.0,
        "leases": 3,
        "lanes": 2,
        "path": "c",
        "started_at": "2023-11-14T22:13:19.250Z",
        "last_seen_at": "2023-11-14T22:13:20.250Z",
    }


def test_an_instance() -> None:
    assert views.instance(Instance("i", InstanceState.BOOTING, AT, "p", AT + 1, reason="why")).model_dump() == {
        "instance_id": "i",
        "provider_id": "p",
        "state": "booting",
        "intended_at": "2023-11-14T22:13:20.250Z",
        "launched_at": "2023-11-14T22:13:21.250Z",
        "reason": "why",
    }


@pytest.mark.parametrize(
    ("instant", "text"),
    [(0.0, "1970-01-01T00:00:00.000Z"), (1.5, "1970-01-01T00:00:01.500Z"), (1e9, "2001-09-09T01:46:40.000Z")],
)
def test_times_are_utc_to_the_millisecond(instant: float, text: str) -> None:
    assert views.iso(instant) == text
