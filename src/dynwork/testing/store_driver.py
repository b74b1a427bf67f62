"""Short words for driving a store by hand, shared by the contract suite, the model test and the scenario scripts.

Jobs, leases and workers are written as people write them on a whiteboard:

- ``j7`` is a job; its id is a UUID that sorts by the number;
- ``j7#2`` is a lease of it, by epoch; ``j7#2@500`` says how far the chain is under that lease;
- ``w1`` is a worker; ``w1/2`` is the second incarnation of its process.

Builders make the commands; :class:`StoreDriver` sends one command a round at its own virtual time.
"""

from __future__ import annotations

from dataclasses import replace

from dynwork.errors import DynworkError
from dynwork.orchestrator.core import machine
from dynwork.orchestrator.core.job import Chain, Instant, Job, JobState, Submission
from dynwork.orchestrator.core.machine import Verdict
from dynwork.orchestrator.core.worker import Pace, Paces, WorkerFacts
from dynwork.orchestrator.store.commands import (
    Ask,
    Cancel,
    Grant,
    Heartbeat,
    Held,
    Pulse,
    Receipt,
    Report,
    Requeue,
    Round,
)
from dynwork.orchestrator.store.port import Store
from dynwork.orchestrator.store.values import Swept

OWNER = "ann"
STEPS = 100
"""Steps of a job, where a test does not care."""
KIND = "sha512-chain"
ONE_LANE = Pace(capacity=50.0, chain_speed=50.0, lanes=1)
"""A worker that makes one job of :data:`STEPS` in two seconds, one at a time."""
START: Instant = 1_000_000.0


def job_id(name: str) -> str:
    """Return the id of ``j7``: a UUID in canonical form, in order of the numbers."""
    return f"00000000-0000-7000-8000-{int(name.removeprefix('j')):012d}"


def name_of(job: Job | str) -> str:
    """Return ``j7`` for a job or its id."""
    return f"j{int((job if isinstance(job, str) else job.job_id).rsplit('-', 1)[1])}"


def lease_name(job: Job | Held) -> str:
    """Return ``j7#2`` for a job as it was granted, or for a lease."""
    return f"{name_of(job.job_id)}#{job.lease.epoch if isinstance(job, Job) else job.epoch}"


def lease_names(jobs: tuple[Job, ...] | tuple[Held, ...]) -> str:
    """Return ``j1#1 j7#2``."""
    return " ".join(lease_name(job) for job in jobs)


def worker_of(name: str) -> tuple[str, str]:
    """Return the worker id and the incarnation that ``w1`` or ``w1/2`` stand for."""
    worker_id, _, incarnation = name.partition("/")
    return worker_id, f"{worker_id}/{incarnation or 1}"


def held(lease: str) -> Held:
    """Read ``j7#2``; a checkpoint behind it is not looked at."""
    name, _, epoch = lease.partition("@")[0].partition("#")
    return Held(job_id(name), int(epoch))


def helds(leases: str) -> tuple[Held, ...]:
    """Read ``j1#1 j7#2``."""
    return tuple(held(lease) for lease in leases.split())


def state_after(name: str, done: int) -> bytes:
    """Return the chain state that stands for ``done`` steps of ``name``."""
    return f"{name}@{done}".encode()


def reached(lease: str) -> tuple[bytes, int]:
    """Read how far ``j7#2@500`` says the chain is: its state and the steps done."""
    name, done = lease.partition("#")[0], int(lease.partition("@")[2] or STEPS)
    return state_after(name, done), done


def paces_of(pace: Pace | Paces) -> Paces:
    """Return paces by kind; one alone is the pace at :data:`KIND`."""
    return {KIND: pace} if isinstance(pace, Pace) else pace


# --- builders --------------------------------------------------------------------------------------------------------
def submission(
    name: str, *, owner: str = OWNER, key: str | None = None, steps: int = STEPS, priority: int = 5
) -> Submission:
    """A job with one of its ``steps`` done. All are made of the same buffer: they differ by steps and priority."""
    return Submission(job_id(name), owner, key, KIND, priority, Chain(b"start", 1, steps))


def of_kind(name: str, kind: str, steps: int = STEPS) -> Submission:
    """A :func:`submission` of another kind of work."""
    return replace(submission(name, steps=steps), kind=kind)


def ask(worker: str, holding: str = "", *, unreported: str = "", pace: Pace | Paces = ONE_LANE, **facts: str) -> Ask:
    """An ask for work; ``facts`` may name ``kinds`` (separated by blanks), ``instance_id`` and ``notice``."""
    worker_id, incarnation = worker_of(worker)
    kinds = tuple(facts.get("kinds", "").split())
    said = WorkerFacts(
        worker_id,
        incarnation,
        paces_of(pace),
        kinds=kinds,
        instance_id=facts.get("instance_id"),
        notice=facts.get("notice"),
    )
    return Ask(said, helds(holding), helds(unreported))


def heartbeat(worker: str, holding: str = "", pace: Pace | Paces = ONE_LANE, notice: str | None = None) -> Heartbeat:
    """A heartbeat; leases in ``holding`` that say how far they are carry checkpoints."""
    worker_id, incarnation = worker_of(worker)
    advanced = [lease for lease in holding.split() if "@" in lease]
    checkpoints = tuple((held(lease), machine.Checkpointed(*reached(lease))) for lease in advanced)
    return Heartbeat(worker_id, incarnation, paces_of(pace), helds(holding), checkpoints, notice)


def report(worker: str, lease: str, event: machine.Report) -> Report:
    """A report that ends a lease."""
    return Report(*worker_of(worker), held(lease), event)


def completed(worker: str, lease: str) -> Report:
    """``j7#2`` is at its end; ``j7#2@500``: at 500 steps."""
    return report(worker, lease, machine.Completed(*reached(lease)))


def failed(worker: str, lease: str, jitter: float = 0.0) -> Report:
    """The work of ``j7#2`` itself failed."""
    return report(worker, lease, machine.Failed("broken", "it broke", jitter))


def released(worker: str, lease: str) -> Report:
    """``j7#2@500`` is handed back, at 500 steps."""
    return report(worker, lease, machine.Released(*reached(lease)))


class StoreDriver:
    """A store and the time: one command a round."""

    def __init__(self, store: Store, now: Instant = START) -> None:
        self.store = store
        self.now = now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    async def commit(self, round_: Round) -> Receipt:
        """Carry out several commands at once."""
        return await self.store.commit(round_, self.now)

    async def submit(self, name: str, *, owner: str = OWNER, key: str | None = None, **work: int) -> Job:
        """Submit one job that is expected to be taken; see :func:`submission`."""
        return expect_job(await self.try_submit(submission(name, owner=owner, key=key, **work)))

    async def try_submit(self, one: Submission) -> Job | DynworkError:
        """Submit one job."""
        return (await self.commit(Round(submissions=[one]))).submissions[0]

    async def ask(self, worker: str, holding: str = "", *, pace: Pace | Paces = ONE_LANE, **facts: str) -> Grant:
        """Ask for work; see :func:`ask`."""
        return (await self.commit(Round(asks=[ask(worker, holding, pace=pace, **facts)]))).grants[0]

    async def lease(self, worker: str, holding: str = "", *, pace: Pace | Paces = ONE_LANE, **facts: str) -> str:
        """Ask for work and return what was given, as ``j1#1 j2#1``."""
        return lease_names((await self.ask(worker, holding, pace=pace, **facts)).grants)

    async def beat(
        self, worker: str, holding: str = "", pace: Pace | Paces = ONE_LANE, notice: str | None = None
    ) -> Pulse:
        """Send a heartbeat; see :func:`heartbeat`."""
        return (await self.commit(Round(heartbeats=[heartbeat(worker, holding, pace, notice)]))).pulses[0]

    async def complete(self, worker: str, lease: str) -> Verdict:
        """Report a chain complete."""
        return await self._report(completed(worker, lease))

    async def fail(self, worker: str, lease: str, jitter: float = 0.0) -> Verdict:
        """Report an error of the work."""
        return await self._report(failed(worker, lease, jitter))

    async def release(self, worker: str, lease: str) -> Verdict:
        """Hand a lease back."""
        return await self._report(released(worker, lease))

    async def die(self, name: str, worker: str = "w9") -> Job:
        """Let ``worker`` fail at a queued job until it is dead; nothing else may be claimable meanwhile."""
        while not (job := await self.job(name)).terminal:
            self.now = max(self.now, job.not_before)
            assert await self.lease(worker) == f"{name}#{job.lease.epoch + 1}"
            await self.fail(worker, f"{name}#{job.lease.epoch + 1}")
        return job

    async def cancel(self, name: str, owner: str | None = OWNER) -> Job | DynworkError:
        """Cancel a job."""
        return (await self.commit(Round(cancels=[Cancel(owner, job_id(name))]))).cancels[0]

    async def requeue(self, name: str, new: str, owner: str | None = OWNER) -> Job | DynworkError:
        """Let ``new`` take the place of a dead job."""
        return (await self.commit(Round(requeues=[Requeue(owner, job_id(name), job_id(new))]))).requeues[0]

    async def epoch(self) -> int:
        """Lead, for this very moment only; return the epoch to act under."""
        epoch = await self.store.lead("the driver", self.now, 0.0)
        assert epoch is not None, "another leads"
        return epoch

    async def expire(self, limit: int = 1000) -> Swept:
        """Expire what is overdue."""
        return await self.store.expire(await self.epoch(), self.now, limit)

    async def retire(self, before: Instant, limit: int) -> int:
        """Delete what ended before ``before``."""
        return await self.store.retire(await self.epoch(), before, limit)

    async def forget(self, before: Instant) -> int:
        """Forget who has been gone since before ``before``."""
        return await self.store.forget(await self.epoch(), before)

    async def job(self, name: str, owner: str = OWNER) -> Job:
        """Look at a job that must be there."""
        job = await self.store.job(owner, job_id(name))
        assert job is not None, f"there is no {name} of {owner}"
        return job

    async def state(self, name: str) -> JobState:
        """Look at a job's state."""
        return (await self.job(name)).state

    async def _report(self, one: Report) -> Verdict:
        return (await self.commit(Round(reports=[one]))).verdicts[0]


def expect_job(answer: Job | DynworkError) -> Job:
    """Return the job that was expected as the answer."""
    assert isinstance(answer, Job), f"refused: {answer!r}"
    return answer
