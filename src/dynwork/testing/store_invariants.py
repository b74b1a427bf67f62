"""What must hold after everything that happens to a cluster, as far as it can be seen from outside the store.

Each engine answers every read like the reference (:mod:`dynwork.testing.store_twins`), and of what it answers the rules
here are true: jobs only go forward, none is lost, and whoever follows the feed sees each end once.
"""

# ruff: noqa: D102 — an invariant is described by its name
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from dynwork.orchestrator.core.instance import COUNTED, Instance
from dynwork.orchestrator.core.job import Instant, Job, JobState
from dynwork.orchestrator.store.port import Store
from dynwork.orchestrator.store.values import FeedPage, Tail, Totals
from dynwork.testing.store_driver import START, job_id
from dynwork.testing.store_pages import listed
from dynwork.testing.store_strategies import NAMES, OWNERS, RULES
from dynwork.testing.store_twins import Twins

INSTANCES_MAX = 2
WHOSE = (*OWNERS, None)
"""In whose name one may ask: of an owner, or of everybody."""


class Invariants(RuleBasedStateMachine):
    """Two stores, one life, and what is known of it. A test module says what engine it is: :meth:`make`."""

    @abstractmethod
    def make(self) -> Store:
        """Make a store of the engine; each time on the same data, which is empty at first."""

    @initialize()
    def start(self) -> None:
        self.twins = Twins(RULES, self.make)
        self.both = self.twins.both
        self.now: Instant = START
        self.known: dict[str, Job] = {}
        self.leader_epoch = 0
        self.retired = 0
        self.cursor: dict[str | None, int | None] = dict.fromkeys(WHOSE)

    def teardown(self) -> None:
        self.twins.close()

    @invariant()
    def reads_are_equal(self) -> None:
        async def everything(store: Store) -> tuple[list[Job | None], Totals, Sequence[Instance], object]:
            jobs = [await store.job(owner, job_id(name)) for owner in OWNERS for name in NAMES]
            newest = [await store.newest_succeeded(owner, 3) for owner in WHOSE]
            lists = [await listed(store, owner, state, 2) for owner in WHOSE for state in (None, *JobState)]
            rest = (newest, lists, await store.workers(), await store.leadership(), await store.next_due(self.now))
            return jobs, await store.totals(), await store.instances(), rest

        answer = self.both(everything)
        assert not isinstance(answer, str)
        found, totals, instances, _ = answer
        assert sum(one.state in COUNTED for one in instances) <= INSTANCES_MAX
        jobs = {job.job_id: job for job in found if job is not None}
        assert totals.queued + totals.leased + totals.succeeded + totals.dead + totals.cancelled == len(jobs)
        assert totals.submitted == len(jobs) + self.retired, "acknowledged = queued + leased + terminal"
        for before in self.known.values():
            after = jobs.get(before.job_id)
            if after is None or after.created_at != before.created_at or after.owner != before.owner:
                assert before.terminal, "only ended jobs are deleted"
            else:
                assert after.chain.done >= before.chain.done
                assert after.lease.epoch >= before.lease.epoch
                assert not before.terminal or after == before
        self.known = jobs
        assert not self.both(lambda store: store.check())

    @invariant()
    def the_feed_is_followed_without_gap_or_repetition(self) -> None:
        for owner in WHOSE:
            self._follow(owner, self.cursor[owner])

    def _follow(self, owner: str | None, cursor: int | None) -> None:
        page = self.both(lambda store: store.feed(owner, cursor, 2))
        if page == "cursor_expired":
            self.cursor[owner] = None
            return
        assert isinstance(page, FeedPage)
        ended = [job for job in self.known.values() if owner in (None, job.owner) and job.position is not None]
        places = sorted(job.position or 0 for job in ended)
        assert [job.position for job in page.jobs] == [place for place in places if place > (cursor or 0)][:2]
        self.cursor[owner] = page.next
        if owner is None:
            tail = self.both(lambda store: store.tail(cursor, 2))
            assert isinstance(tail, Tail)
            told = [] if cursor is None else [(job.job_id, job.owner) for job in page.jobs]
            assert [tuple(one) for one in tail.ended] == told
