"""The schema on PostgreSQL, and how its planner goes about the hot path: in the order of an index, at any size.

A plan that scans all jobs, or sorts what can be claimed, is right for an empty table and a disaster for a million rows;
the planner keeps the plan of a prepared statement, and its statistics lag behind. So it is told (connecting.SERVING).
"""

from __future__ import annotations

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.util.concurrency import await_

from dynwork.orchestrator.store import tables
from dynwork.orchestrator.store.postgres import PostgresStore
from dynwork.testing.postgres import Databases
from dynwork.testing.statements import Statement, statements_of_the_hot_path

MANY_ROWS = """
    INSERT INTO job (job_id, owner, fingerprint, kind, priority, start_state, start_done, chain_state, done, total,
                     state, not_before, created_at, epoch, worker_id, attempts, losses, completed_at, position)
    SELECT gen_random_uuid(), 'local', 'f', 'sha512-chain', n % 10, '', 1, '', 1, 100,
           CASE WHEN n % 100 = 99 THEN 'dead' WHEN n % 3 = 0 THEN 'queued' WHEN n % 3 = 1 THEN 'leased'
                ELSE 'succeeded' END,
           n, n, 1, 'w' || n % 50, 0, 0, n, CASE WHEN n % 100 = 99 OR n % 3 = 2 THEN n END
    FROM generate_series(1, 30000) AS n;
    UPDATE cluster SET position = 30000;
    ANALYZE
"""
Plan = list[dict[str, Any]]
"""The steps of a plan, the outermost first."""


async def test_migrations_make_exactly_the_tables_of_the_code(store: PostgresStore) -> None:
    def differences(conn: Connection) -> list[Any]:
        context = MigrationContext.configure(conn, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, tables.metadata))

    assert await store._write(differences) == []


async def test_the_hot_table_is_stored_as_the_code_says(store: PostgresStore) -> None:
    options = text(
        "SELECT option_name, option_value FROM pg_options_to_table((SELECT reloptions FROM pg_class"
        " WHERE oid = 'job'::regclass))"
    )
    stored = await store._read(lambda conn: {row[0]: row[1] for row in conn.execute(options)})
    assert stored == {name: str(value) for name, value in tables.JOB_STORAGE.items()}


@pytest.mark.parametrize("rows", ["ANALYZE", MANY_ROWS], ids=["empty", "many rows"])
@pytest.mark.parametrize("generic", [False, True], ids=["for these values", "for any values"])
async def test_the_hot_path_goes_by_the_order_of_an_index(
    store: PostgresStore, databases: Databases, url: str, rows: str, generic: bool
) -> None:
    await databases.run(rows, url)
    explained = _generic_plan if generic else _plan

    def look(conn: Connection) -> list[tuple[str, Plan]]:
        conn.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")  # other tests run beside this one
        return [(one[0], explained(conn, one)) for one in statements_of_the_hot_path(conn)]

    plans = await store._write(look)
    looks = [plan for sql, plan in plans if "AS remaining" in sql]
    locks = [plan for sql, plan in plans if "SKIP LOCKED" in sql]
    assert looks
    assert locks
    for plan, index in (*((plan, "job_claim") for plan in looks), *((plan, "job_pk") for plan in locks)):
        assert [step["Node Type"] for step in plan[1:]] == ["Index Scan"]
        assert plan[-1]["Index Name"] == index
    steps = [(sql, step) for sql, plan in plans for step in plan]
    by_id = [step for sql, step in steps if "Index Name" in step and "job.owner =" not in sql and "job_id = " in sql]
    assert {step["Index Name"] for step in by_id} == {"job_pk"}
    lists = [(sql, plan[-1]["Index Name"]) for sql, plan in plans if "job.owner =" in sql and "job_id DESC" in sql]
    assert {index for _, index in lists} <= {"job_owner", "job_set_aside"}
    if rows == MANY_ROWS:
        assert [index for sql, index in lists if "state = 'dead'" in sql] == ["job_set_aside"]
    assert [one for one in steps if one[1].get("Relation Name") == "job" and one[1]["Node Type"] == "Seq Scan"] == []
    assert [one for one in steps if "FROM job" in one[0] and one[1]["Node Type"] in ("Sort", "Bitmap Heap Scan")] == []


def _plan(conn: Connection, statement: Statement) -> Plan:
    sql, parameters = statement
    return _steps(conn.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}", parameters).scalar_one())  # type: ignore[arg-type]


def _generic_plan(conn: Connection, statement: Statement) -> Plan:
    """The plan that a prepared statement keeps, whatever its values are."""
    sql, parameters = statement
    assert isinstance(parameters, tuple)
    nothing = f"({', '.join(['NULL'] * len(parameters))})" if parameters else ""
    driver = conn.connection.driver_connection
    assert driver is not None
    await_(driver.execute(f"SET LOCAL plan_cache_mode = force_generic_plan; PREPARE looked_at AS {sql}"))
    found = conn.exec_driver_sql(f"EXPLAIN (FORMAT JSON) EXECUTE looked_at {nothing}").scalar_one()
    await_(driver.execute("DEALLOCATE looked_at"))
    return _steps(found)


def _steps(found: list[dict[str, Any]]) -> Plan:
    steps, rest = [], [found[0]["Plan"]]
    while rest:
        step = rest.pop(0)
        rest = step.pop("Plans", []) + rest
        steps.append(step)
    return steps
