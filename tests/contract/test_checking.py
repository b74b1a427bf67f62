"""``Store.check`` finds what is broken: each invariant is broken behind the store's back, and named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text

from dynwork.ids import new_id
from dynwork.orchestrator.core import machine
from dynwork.orchestrator.core.job import Chain, Submission
from dynwork.orchestrator.core.retry import RetryPolicy
from dynwork.orchestrator.core.worker import Pace, WorkerFacts
from dynwork.orchestrator.store import checking, leadership, registry, sweeping, tally
from dynwork.orchestrator.store.batch import Batch
from dynwork.orchestrator.store.commands import Ask, Held, Report, Round
from dynwork.orchestrator.store.migrate import migrate
from dynwork.orchestrator.store.round import carry_out
from dynwork.orchestrator.store.values import Rules

NOW = 1e9


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[Connection]:
    """Of four jobs one waits, one is leased, one succeeded and one died."""
    engine = create_engine(f"sqlite:///{tmp_path / 'dynwork.db'}")
    with engine.begin() as connection:
        migrate(connection, new_id())
        jobs = [Submission(new_id(), "ann", None, "sha512-chain", 5, Chain(b"x", 1, 100)) for _ in range(4)]
        asks = [Ask(WorkerFacts("w1", "i1", {"sha512-chain": Pace(1.0, 1.0, 3)}))]
        grants = carry_out(connection, Round(submissions=jobs, asks=asks), Rules(), NOW, "http://a").grants[0].grants
        first, second = (Held(job.job_id, 1) for job in grants[:2])
        reports = [Report("w1", "i1", first, machine.Completed(b"y", 100))]
        reports += [Report("w1", "i1", second, machine.Failed("broken", "it broke", 0.0))]
        rules = Rules(retry=RetryPolicy(attempts_max=1))
        carry_out(connection, Round(reports=reports), rules, NOW, "http://a")
        assert checking.broken(connection) == []
        yield connection
    engine.dispose()


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("UPDATE job SET worker_id = NULL WHERE state = 'leased'", "1 jobs are leased to nobody"),
        ("UPDATE job SET lease_end = 'released' WHERE state = 'leased'", "under a lease that has ended"),
        ("DELETE FROM worker", "1 jobs are leased to a worker that is not known"),
        ("UPDATE job SET done = 99 WHERE state = 'succeeded'", "1 jobs succeeded before their last step"),
        ("UPDATE job SET error_code = NULL WHERE state = 'dead'", "1 jobs are dead without a reason"),
        ("UPDATE job SET done = 0 WHERE state = 'queued'", "1 jobs have done fewer steps than at their start"),
        ("UPDATE job SET completed_at = NULL WHERE state = 'dead'", "1 jobs have ended without a time"),
        ("UPDATE job SET completed_at = 5 WHERE state = 'queued'", "have a time without having ended"),
        (
            "UPDATE job SET requeued_from = (SELECT job_id FROM job WHERE state = 'succeeded'),"
            " created_at = created_at + 1 WHERE state = 'queued'",
            "1 jobs take the place of a job that is not dead",
        ),
        ("UPDATE job SET owner = '' WHERE state = 'queued'", "1 jobs have an owner or a key that no client can name"),
        ("UPDATE cluster SET position = 3", "every position from 1 to 3; it has 2"),
        ("DELETE FROM job WHERE state = 'dead'", "every position from 1 to 2; it has 1"),
        ("UPDATE job SET position = 7 WHERE position = 1", "it has 2, from 2 to 7"),
        ("DELETE FROM job WHERE state = 'queued'", "totals say that 1 jobs of sha512-chain are queued; there are 0"),
        ("UPDATE tally SET leased = 4", "totals say that 4 jobs of sha512-chain are leased; there are 1"),
        ("DELETE FROM tally", "totals say that 0 jobs of sha512-chain are succeeded; there are 1"),
        ("UPDATE tally SET backlog_steps = 1e12", "1000000000000 steps of sha512-chain are ahead; there are 198"),
        ("UPDATE tally SET submitted = 3", "totals say that 3 jobs were submitted; 4 are kept or were retired"),
    ],
)
def test_what_is_broken_is_found_and_named(conn: Connection, damage: str, finding: str) -> None:
    conn.execute(text(damage))
    assert finding in "; ".join(checking.broken(conn))


def test_the_totals_of_an_orchestrator_that_is_gone_go_on_to_count(conn: Connection) -> None:
    registry.register(conn, "http://a", "a1", NOW, 6)
    registry.register(conn, "http://b", "b1", NOW + 100, 6)
    before = tally.totals(conn)
    leadership.lead(conn, "b1", NOW, 10)

    def forget(before: float) -> list[str]:
        sweeping.forget(Batch(conn, Rules(), before, "http://b"), 1, before)
        return sorted(conn.scalars(text("SELECT shard FROM tally")))

    assert forget(NOW + 5) == ["http://a"]
    assert forget(NOW + 50) == ["http://b"]
    assert (tally.totals(conn), checking.broken(conn)) == (before, [])
