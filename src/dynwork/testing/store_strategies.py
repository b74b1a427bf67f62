"""Small pools of names and numbers for random lives of a cluster, so that things collide all the time."""

from __future__ import annotations

from hypothesis import strategies as st

from dynwork.orchestrator.core.job import Chain, Submission
from dynwork.orchestrator.core.leasing import LeasePolicy
from dynwork.orchestrator.core.retry import RetryPolicy
from dynwork.orchestrator.core.worker import Pace, Paces
from dynwork.orchestrator.store.values import Rules
from dynwork.testing.store_driver import KIND, job_id

RULES = Rules(
    leasing=LeasePolicy(lease_s=9.0, prefetch_s=1.0, batch_max=3),
    retry=RetryPolicy(attempts_max=2, losses_max=1),
    queue_jobs_max=4,
)
OWNERS = ("ann", "bob")
NAMES = tuple(f"j{n}" for n in range(1, 7))
PACES: tuple[Paces, ...] = (
    {KIND: Pace(50.0, 50.0, 1), "other": Pace(50.0, 50.0, 1)},
    {KIND: Pace(200.0, 80.0, 3), "other": Pace(2.0, 1.0, 2)},
    {KIND: Pace(200.0, 80.0, 3), "other": Pace(0.0, 0.0, 1)},
    {KIND: Pace(0.0, 0.0, 2)},
)

# A lease as somebody names it: mostly the present one, at times a past one, one to come, or under a false name.
NamedLease = tuple[str, int, str | None]
names = st.sampled_from(NAMES)
workers = st.sampled_from(("w1", "w2", "w3"))
incarnations = st.sampled_from(("1", "1", "1", "2"))
named: st.SearchStrategy[NamedLease] = st.tuples(
    names, st.sampled_from((0, 0, 0, 0, -1, 1)), st.sampled_from((None, None, None, "w1/1", "w2/1"))
)
progress = st.sampled_from((1, 2, 3, 30, 60, 61))
owners = st.sampled_from(OWNERS)
anybody = st.sampled_from((*OWNERS, None))
some_leases = st.lists(names, unique=True, max_size=4)

submissions = st.builds(
    lambda name, owner, key, kind, steps, priority: Submission(
        job_id(name), owner, key, kind, priority, Chain(b"start", 1, steps)
    ),
    names,
    owners,
    st.sampled_from((None, None, None, "k1", "k2")),
    st.sampled_from((KIND, KIND, "other")),
    st.sampled_from((1, 3, 60, 60)),
    st.sampled_from((0, 5, 9)),
)
report_events = st.one_of(
    st.builds(lambda done: ("completed", done), st.sampled_from((3, 60, 60, 60, 2))),
    st.builds(lambda done: ("failed", done), st.just(0)),
    st.builds(lambda done: ("released", done), progress),
)
