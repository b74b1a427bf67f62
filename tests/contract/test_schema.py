"""The schema that the migrations make is the schema that the code uses, and every hot query is a range scan.

Two scans are meant: counting the leases walks the leases, retiring walks the oldest positions, at most ``limit``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine

from dynwork.ids import new_id
from dynwork.orchestrator.core import machine
from dynwork.orchestrator.core.job import Chain, Submission
from dynwork.orchestrator.core.worker import Pace, WorkerFacts
from dynwork.orchestrator.store import listing, tables
from dynwork.orchestrator.store.commands import Ask, Heartbeat, Held, Report, Round
from dynwork.orchestrator.store.migrate import migrate
from dynwork.orchestrator.store.round import carry_out
from dynwork.orchestrator.store.values import Rules
from dynwork.testing.statements import Statement, statements_of_the_hot_path, watched

FACTS = WorkerFacts("w1", "i1", {"sha512-chain": Pace(1e6, 1e6, 2)})
HELD = Held(new_id(), 1)
RULES = Rules()
CHECKPOINT = machine.Checkpointed(b"x" * 64, 2)


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[Connection]:
    engine = create_engine(f"sqlite:///{tmp_path / 'dynwork.db'}")
    with engine.begin() as connection:
        migrate(connection, new_id())
        yield connection
    engine.dispose()


def test_migrations_make_exactly_the_tables_of_the_code(conn: Connection) -> None:
    context = MigrationContext.configure(conn, opts={"compare_type": True, "compare_server_default": True})
    assert compare_metadata(context, tables.metadata) == []


def test_migrating_twice_keeps_the_cluster(conn: Connection) -> None:
    first = migrate(conn, "another")
    assert first == migrate(conn, "yet another") != "another"


def test_a_store_of_the_first_release_is_brought_up_to_date_and_keeps_its_jobs(conn: Connection) -> None:
    submitted = Submission(new_id(), "local", None, "sha512-chain", 5, Chain(b"x" * 64, 1, 100))
    carry_out(conn, Round(submissions=[submitted]), RULES, 1e9, "shard")
    for index in ("job_owner", "job_set_aside", "job_requeued", "instance_ended"):
        conn.exec_driver_sql(f"DROP INDEX {index}")
    for table, column in (("worker", "notice"), ("instance", "placement")):
        conn.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN {column}")
    conn.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    migrate(conn, "another")
    assert compare_metadata(MigrationContext.configure(conn), tables.metadata) == []
    assert [job.job_id for job in listing.jobs(conn, "local", None, None, 10).jobs] == [submitted.job_id]


def test_no_statement_of_the_hot_path_scans_the_jobs(conn: Connection) -> None:
    statements = statements_of_the_hot_path(conn)
    scans = [plan for plan in plans(conn, statements) if plan.startswith("SCAN job")]
    assert [scan for scan in scans if "INDEX job_leases" not in scan and "INDEX job_position" not in scan] == []


def test_a_list_of_one_owner_s_jobs_walks_past_nobody_else_s(conn: Connection) -> None:
    statements = statements_of_the_hot_path(conn)
    lists = [one for one in statements if "job.owner = ?" in one[0] and "ORDER BY job.job_id DESC" in one[0]]
    ways = {plan.partition(" (")[0] for plan in plans(conn, lists)}
    assert ways == {
        "SEARCH job USING INDEX job_owner",
        "SEARCH job USING COVERING INDEX job_owner",
        "SEARCH job USING INDEX job_set_aside",
    }


@pytest.mark.parametrize("kinds", [("sha512-chain",), ("other", "sha512-chain")])
def test_the_queue_is_not_looked_at_for_a_worker_that_is_full(conn: Connection, kinds: tuple[str, ...]) -> None:
    paces = {kind: Pace(1.0, 1.0, 1) for kind in kinds}
    full = WorkerFacts("w1", "i1", paces, kinds)
    chain = Chain(b"x" * 64, 1, 100)
    submitted = [Submission(new_id(), "local", None, "sha512-chain", 5, chain) for _ in range(2)]
    receipt = carry_out(conn, Round(submissions=submitted, asks=[Ask(full)]), RULES, 1e9, "shard")
    held = tuple(Held(job.job_id, job.lease.epoch) for job in receipt.grants[0].grants)
    with watched(conn) as statements:
        receipt = carry_out(conn, Round(asks=[Ask(full, held)]), RULES, 1e9, "shard")
    assert (len(held), receipt.grants[0].grants) == (1, ())
    assert [text for text, _ in statements if "job.state = 'queued'" in text] == []


def test_a_round_locks_workers_then_jobs_by_id_and_takes_the_feeds_counter_last(conn: Connection) -> None:
    """What keeps orchestrators side by side from deadlocks, seen in the statements: SQLite itself has one writer."""
    first, second, third = sorted(new_id() for _ in range(3))
    chain = Chain(b"x" * 64, 1, 100)
    submitted = [Submission(name, "local", None, "sha512-chain", 5, chain) for name in (second, first)]
    carry_out(conn, Round(submissions=submitted, asks=[Ask(FACTS)]), RULES, 1e9, "shard")
    with watched(conn) as statements:
        receipt = carry_out(
            conn,
            Round(
                reports=[Report("w1", "i1", Held(second, 1), machine.Completed(b"x" * 64, 100))],
                heartbeats=[Heartbeat("w1", "i1", FACTS.paces, (Held(first, 1),), ((Held(first, 1), CHECKPOINT),))],
                submissions=[Submission(third, "local", None, "sha512-chain", 5, chain)],
            ),
            RULES,
            1e9,
            "shard",
        )
    assert receipt.ended == 1
    texts = [" ".join(statement.split()) for statement, _ in statements]
    workers = [number for number, text in enumerate(texts) if "FROM worker" in text]
    jobs = [number for number, text in enumerate(texts) if "FROM job" in text]
    assert max(workers) < min(jobs)
    assert all("ORDER BY worker.worker_id" in texts[number] for number in workers)
    assert all("ORDER BY job.job_id" in texts[number] for number in jobs)
    (counter,) = [number for number, text in enumerate(texts) if text.startswith("UPDATE cluster")]
    assert [text.partition(" SET")[0] for text in texts[counter + 1 :]] == ["UPDATE job"]
    assert second in str(statements[-1][1]), "only what ended is written after the counter was taken"
    assert first not in str(statements[-1][1])


def plans(conn: Connection, statements: list[Statement]) -> list[str]:
    """The query plan of each statement, one line a step."""
    return [
        f"{step.detail}  <-  {statement}"
        for statement, parameters in statements
        for step in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)  # type: ignore[arg-type]
    ]
