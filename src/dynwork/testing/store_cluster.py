"""An engine against the reference: random lives of a small cluster, where every answer and every read must be equal.

The pools are tiny (six jobs, two owners, two keys, three workers of two incarnations): ids collide, leases are named by
the wrong worker or under a past epoch, replies are "lost" all the time. Several commands share a round, time jumps, the
store is closed and opened in between. After each rule, what can be seen from outside must hold.
"""

# ruff: noqa: D102 — a rule is described by its name
from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from dynwork.orchestrator.core import machine
from dynwork.orchestrator.core.instance import (
    Drained,
    Gone,
    Instance,
    InstanceState,
    Launched,
    Noticed,
    Reported,
    intent,
)
from dynwork.orchestrator.core.job import JobState, Submission
from dynwork.orchestrator.core.worker import Pace, Paces, WorkerFacts
from dynwork.orchestrator.store.commands import Ask, Cancel, Heartbeat, Held, Report, Requeue, Round
from dynwork.testing.store_driver import KIND, job_id, name_of, state_after
from dynwork.testing.store_invariants import INSTANCES_MAX, Invariants
from dynwork.testing.store_strategies import (
    PACES,
    NamedLease,
    anybody,
    incarnations,
    named,
    names,
    progress,
    report_events,
    some_leases,
    submissions,
    workers,
)


class Cluster(Invariants):
    """The rules: what can happen to the two stores."""

    # -- names for leases
    def lease(self, spec: NamedLease) -> tuple[Held, str, str]:
        """Resolve a named lease: the lease, the worker and the incarnation that speak of it."""
        name, epoch_off, falsely = spec
        job = self.known.get(job_id(name))
        epoch = max((job.lease.epoch if job else 0) + epoch_off, 1)
        incarnation = falsely or (job and job.lease.incarnation) or "w3/1"
        return Held(job_id(name), epoch), incarnation.partition("/")[0], incarnation

    def leased(self) -> list[str]:
        return sorted(name_of(job) for job in self.known.values() if job.state is JobState.LEASED)

    def dead(self) -> list[str]:
        return sorted(name_of(job) for job in self.known.values() if job.state is JobState.DEAD)

    def held(self, listed: list[str]) -> tuple[Held, ...]:
        return tuple(self.lease((name, 0, None))[0] for name in listed)

    # -- rules
    @rule(
        reports=st.lists(st.tuples(named, report_events), max_size=3),
        beats=st.lists(st.tuples(workers, incarnations, some_leases, some_leases, progress), max_size=2),
        cancels=st.lists(st.tuples(anybody, names), max_size=1),
        requeues=st.lists(st.tuples(anybody, names, names), max_size=2),
        submitted=st.lists(submissions, max_size=3),
        asks=st.lists(
            st.tuples(workers, incarnations, st.sampled_from(PACES), some_leases, some_leases, st.integers(0, 5)),
            max_size=3,
        ),
    )
    def round(self, reports: Any, beats: Any, cancels: Any, requeues: Any, submitted: Any, asks: Any) -> None:
        self._commit(
            Round(
                reports=[self._report(*one) for one in reports],
                heartbeats=[self._heartbeat(*one) for one in beats],
                cancels=[Cancel(owner, job_id(name)) for owner, name in cancels],
                requeues=[Requeue(owner, job_id(dead), job_id(new)) for owner, dead, new in requeues],
                submissions=submitted,
                asks=[self._ask(*one) for one in asks],
            )
        )

    @rule(one=submissions)
    def submit(self, one: Submission) -> None:
        self._commit(Round(submissions=[one]))

    @rule(worker=workers, paces=st.sampled_from(PACES))
    def ask(self, worker: str, paces: Paces) -> None:
        """The good case: a worker that lists what it has."""
        mine = [job for job in self.known.values() if job.lease.worker_id == worker and job.state is JobState.LEASED]
        holding = tuple(Held(job.job_id, job.lease.epoch) for job in mine)
        self._commit(Round(asks=[Ask(WorkerFacts(worker, f"{worker}/1", paces), holding)]))

    @precondition(lambda self: self.leased())
    @rule(which=st.integers(0, 5), event=report_events, twice=st.booleans())
    def report(self, which: int, event: tuple[str, int], twice: bool) -> None:
        """The good case: a report by the holder; at times its answer is lost."""
        leased = self.leased()
        self._commit(Round(reports=[self._report((leased[which % len(leased)], 0, None), event)] * (1 + twice)))

    @precondition(lambda self: self.dead())
    @rule(which=st.integers(0, 5), new=names)
    def requeue(self, which: int, new: str) -> None:
        """The good case: a job that is dead."""
        dead = self.dead()
        self._commit(Round(requeues=[Requeue(None, job_id(dead[which % len(dead)]), job_id(new))]))

    @precondition(lambda self: self.leased())
    @rule(worker=workers, done=progress, forgets=st.booleans())
    def heartbeat(self, worker: str, done: int, forgets: bool) -> None:
        """The good case: a heartbeat with what the worker has, and its progress; at times a grant was lost."""
        mine = [name for name in self.leased() if self.known[job_id(name)].lease.incarnation == f"{worker}/1"]
        self._commit(Round(heartbeats=[self._heartbeat(worker, "1", mine[forgets:], mine, done)]))

    @rule(seconds=st.sampled_from((0.0, 0.4, 1.0, 5.0, 9.5, 70.0)))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(limit=st.sampled_from((1, 2, 100)), seconds=st.sampled_from((0.0, 9.5)))
    def expire(self, limit: int, seconds: float) -> None:
        self.now += seconds
        self.both(lambda store: store.expire(self.leader_epoch, self.now, limit))

    @rule(worker=workers)
    def worker_gone(self, worker: str) -> None:
        self.both(lambda store: store.worker_gone(worker, self.now))

    @rule(age=st.sampled_from((0.0, 1.0, 10.0)), limit=st.sampled_from((1, 2, 100)))
    def retire(self, age: float, limit: int) -> None:
        retired = self.both(lambda store: store.retire(self.leader_epoch, self.now - age, limit))
        if isinstance(retired, int):
            self.retired += retired
        else:
            assert (retired, self.leader_epoch) == ("stale_leader", 0)

    @rule(age=st.sampled_from((0.0, 5.0)))
    def forget(self, age: float) -> None:
        self.both(lambda store: store.forget(self.leader_epoch, self.now - age))

    @rule(url=st.sampled_from(("http://a", "http://b")), process=st.sampled_from(("1", "2")))
    def register(self, url: str, process: str) -> None:
        self.both(lambda store: store.register(url, f"{url} {process}", self.now, 5.0))

    @rule(url=st.sampled_from(("http://a", "http://b")), process=st.sampled_from(("1", "2")))
    def deregister(self, url: str, process: str) -> None:
        self.both(lambda store: store.deregister(f"{url} {process}"))

    @rule(holder=st.sampled_from(("a", "b")), ttl_s=st.sampled_from((1.0, 30.0)))
    def lead(self, holder: str, ttl_s: float) -> None:
        epoch = self.both(lambda store: store.lead(holder, self.now, ttl_s, f"{holder} decided"))
        if isinstance(epoch, int):
            assert epoch >= self.leader_epoch
            self.leader_epoch = epoch

    @rule(
        one=st.sampled_from(("i1", "i2", "i3")),
        act=st.sampled_from(
            (None, None, "adopt", Launched("p"), Launched("p"), Reported(), Noticed("n"), Drained("idle"), Gone("lost"))
        ),
        late=st.sampled_from((0, 0, 0, 1)),
    )
    def fleet(self, one: str, act: Any, late: int) -> None:
        epoch = self.leader_epoch - late
        if act is None:
            self.both(lambda store: store.intend(epoch, intent(one, self.now), INSTANCES_MAX))
        elif act == "adopt":
            found = Instance(one, InstanceState.RUNNING, self.now, "p", self.now)
            self.both(lambda store: store.adopt(epoch, found, INSTANCES_MAX, self.now))
        elif isinstance(act, Drained):
            self.both(lambda store: store.drain_if_idle(epoch, one, act.reason, self.now))
        else:
            self.both(lambda store: store.instance_event(epoch, one, act, self.now))

    @rule()
    def restart(self) -> None:
        self.twins.restart()

    # -- commands
    def _report(self, spec: NamedLease, event: tuple[str, int]) -> Report:
        held, worker, incarnation = self.lease(spec)
        kind, done = event
        state = state_after(spec[0], done)
        made: machine.Report = machine.Failed("broken", "it broke", 0.5)
        if kind != "failed":
            made = machine.Completed(state, done) if kind == "completed" else machine.Released(state, done)
        return Report(worker, incarnation, held, made)

    def _heartbeat(self, worker: str, number: str, listed: list[str], advanced: list[str], done: int) -> Heartbeat:
        checkpoints = tuple(
            (held, machine.Checkpointed(state_after(name, done), done))
            for name, held in zip(advanced, self.held(advanced), strict=True)
        )
        paces = {"other" if done == 1 else KIND: Pace(40.0 + done, 9.0)}
        notice = "spot" if done == 2 else None
        return Heartbeat(worker, f"{worker}/{number}", paces, self.held(listed), checkpoints, notice)

    def _ask(self, worker: str, number: str, paces: Paces, listed: list[str], done: list[str], facts: int) -> Ask:
        kinds = (KIND,) if facts == 0 else ()
        instance = f"i{facts}" if 1 <= facts <= 2 else None
        said = WorkerFacts(worker, f"{worker}/{number}", paces, kinds=kinds, instance_id=instance)
        return Ask(said, self.held(listed), self.held(done))

    def _commit(self, round_: Round) -> None:
        self.both(lambda store: store.commit(round_, self.now))
