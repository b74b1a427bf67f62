"""From the wire to the store's words and back, for the messages of workers and of the API. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from dynwork import wire
from dynwork.errors import DynworkError, InvalidInputError
from dynwork.kinds import DEFAULT_KIND
from dynwork.orchestrator.core import machine
from dynwork.orchestrator.core.job import Chain, Job, Submission
from dynwork.orchestrator.core.worker import Pace, Paces, WorkerFacts
from dynwork.orchestrator.store.commands import Ask, Heartbeat, Held, Report


def ask_of(message: wire.LeaseAsk) -> Ask:
    """Read an ask for work."""
    facts = WorkerFacts(
        worker_id=message.worker_id,
        incarnation=message.incarnation,
        paces=_paces(Pace(message.capacity, message.chain_speed, message.lanes), message.paces),
        kinds=tuple(message.kinds),
        instance_id=message.instance_id,
        host=message.host,
        pid=message.pid,
        path=message.path,
        started_at=message.started_at,
        notice=message.notice,
    )
    return Ask(facts, holding=_held(message.holding), unreported=_held(message.unreported))


def heartbeat_of(message: wire.HeartbeatAsk) -> Heartbeat:
    """Read a heartbeat."""
    return Heartbeat(
        worker_id=message.worker_id,
        incarnation=message.incarnation,
        paces=_paces(Pace(message.capacity, message.chain_speed), message.paces),
        holding=_held(message.holding),
        checkpoints=tuple(
            (Held(item.job_id, item.epoch), machine.Checkpointed(item.state, item.done)) for item in message.checkpoints
        ),
        notice=message.notice,
    )


def reports_of(message: wire.ReportAsk, uniform: Callable[[], float]) -> list[Report]:
    """Read reports: completed, then failed, then released. ``uniform`` draws the jitter of retries from [0, 1)."""

    def report(item: wire.HeldRef, event: machine.Report) -> Report:
        return Report(message.worker_id, message.incarnation, Held(item.job_id, item.epoch), event)

    return [
        *(report(item, machine.Completed(item.state, item.done)) for item in message.completed),
        *(report(item, machine.Failed(item.code, item.detail, uniform())) for item in message.failed),
        *(report(item, machine.Released(item.state, item.done)) for item in message.released),
    ]


def submission_of(new: wire.NewJob, iterations_max: int) -> Submission | InvalidInputError:
    """Read a job to be. ``iterations_max``: most steps that this orchestrator takes."""
    if new.total > iterations_max:
        return InvalidInputError(f"total: at most {iterations_max} steps are taken here, not {new.total}")
    if new.done > new.total:
        return InvalidInputError(f"done: {new.done} steps of {new.total} cannot have been done")
    return Submission(
        job_id=new.job_id,
        owner=new.owner,
        key=new.key,
        kind=new.kind,
        priority=new.priority,
        chain=Chain(new.state, new.done, new.total),
    )


def submitted(answer: Job | DynworkError) -> wire.Submitted:
    """Say what became of one submission."""
    if isinstance(answer, DynworkError):
        return wire.Submitted(error=wire.ItemError(code=answer.code, detail=answer.detail))
    return wire.Submitted(job_id=answer.job_id)


def grants(jobs: Iterable[Job]) -> list[wire.LeasedJob]:
    """Say what was leased: where each chain goes on from."""
    return [
        wire.LeasedJob(
            job_id=job.job_id,
            epoch=job.lease.epoch,
            kind=job.kind,
            state=job.chain.state,
            done=job.chain.done,
            total=job.chain.total,
            priority=job.priority,
        )
        for job in jobs
    ]


def refs(held: Iterable[Held]) -> list[wire.HeldRef]:
    """Name leases."""
    return [wire.HeldRef(job_id=one.job_id, epoch=one.epoch) for one in held]


def _paces(default: Pace, by_kind: Mapping[str, wire.KindPace]) -> Paces:
    """Read how fast a worker is. ``default``: at the default kind, in the words of a worker that has no others."""
    return {
        DEFAULT_KIND: default,
        **{kind: Pace(pace.capacity, pace.chain_speed, pace.lanes) for kind, pace in by_kind.items()},
    }


def _held(named: Sequence[wire.HeldRef]) -> tuple[Held, ...]:
    """Read the names of leases, each once."""
    return tuple(dict.fromkeys(Held(one.job_id, one.epoch) for one in named))
