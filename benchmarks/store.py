"""What a store makes of rounds of many sizes, in front of few rows and of millions.

    make bench-store, or python -m benchmarks.store [--engines sqlite postgres] [--rows 10000 1000000 5000000]

Every database has as many jobs as its name says: at most a million of them are queued, with priorities from 0 to 9 and
a tenth of them delayed by a day; all others have succeeded, and fill the feed. They are written by SQL of the
benchmark's own. PostgreSQL is a server of its own, with fsync.

A run goes through all databases, one after the other, and the batch sizes of each. One cycle submits a batch of new
jobs, claims as many for one worker, and reports them complete: three rounds, three commits. So the queue stays as long
as it was; what is claimed are the most urgent and oldest of all. Rates are in jobs a second, medians of the runs;
beside the many rows stands the rate compared to the fewest, run by run. At the end each store checks its invariants.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from rich.console import Console
from rich.table import Table

from dynwork.ids import new_id
from dynwork.orchestrator.core import machine
from dynwork.orchestrator.core.job import Chain, Submission
from dynwork.orchestrator.core.leasing import LeasePolicy
from dynwork.orchestrator.core.machine import Verdict
from dynwork.orchestrator.core.worker import Pace, WorkerFacts
from dynwork.orchestrator.store.commands import Ask, Held, Receipt, Report, Round
from dynwork.orchestrator.store.postgres import PostgresStore
from dynwork.orchestrator.store.sqlite import SqliteStore
from dynwork.orchestrator.store.values import Rules
from dynwork.up.ports import free_api_port
from dynwork.up.postgres import LocalPostgres, ServerOptions

QUEUED_MAX = 1_000_000
LOAD_ROWS = 250_000
"""Rows written in one transaction while a database is filled."""
KIND, STEPS = "sha512-chain", 1_000_000
PHASES = ("submit", "claim", "report")
CYCLES_MIN, CYCLES_MAX = 10, 200
RULES = Rules(leasing=LeasePolicy(prefetch_s=1e-9, batch_max=500))
"""A worker is given as many jobs as it has lanes, and none to fetch ahead."""

_DIALECT = {
    "sqlite": {
        "job_id": "printf('00000000-0000-7000-8000-%012d', n)",
        "state": "zeroblob(64)",
        "settle": "ANALYZE",
    },
    "postgres": {
        "job_id": "('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid",
        "state": "decode(repeat('00', 64), 'hex')",
        "settle": "VACUUM ANALYZE",
    },
}

_LOAD = f"""
WITH RECURSIVE numbers(n) AS (SELECT {{first}} UNION ALL SELECT n + 1 FROM numbers WHERE n < {{last}})
INSERT INTO job (job_id, owner, "key", fingerprint, kind, priority, start_state, start_done, chain_state, done, total,
    state, not_before, created_at, epoch, worker_id, incarnation, lease_end, attempts, losses, started_at,
    completed_at, error_code, error_detail, requeued_from, position)
SELECT {{job_id}}, 'local', NULL, '{"0" * 64}', '{KIND}', n % 10, {{state}}, 1, {{state}},
    CASE WHEN waits THEN 1 ELSE {STEPS} END, {STEPS}, CASE WHEN waits THEN 'queued' ELSE 'succeeded' END,
    {{now}} + CASE WHEN waits AND n % 100 < 10 THEN 86400 ELSE n * 1e-4 - 1000 END, {{now}} - 1000,
    CASE WHEN waits THEN 0 ELSE 1 END, NULL, NULL, CASE WHEN waits THEN NULL ELSE 'completed' END, 0, 0, NULL,
    CASE WHEN waits THEN NULL ELSE {{now}} END, NULL, NULL, NULL, CASE WHEN waits THEN NULL ELSE n - {{waiting}} END
FROM (SELECT n, n <= {{waiting}} AS waits FROM numbers) AS jobs
"""

Execute = Callable[[str], Awaitable[object]]
"""Runs one statement of SQL on a connection of the benchmark's own, and commits it."""


@dataclass
class Database:
    """One store under test, and what the runs showed: rates in jobs a second by (phase, batch size)."""

    engine: str
    rows: int
    store: SqliteStore | PostgresStore
    worker: str = field(default_factory=new_id)
    rates: dict[tuple[str, int], list[float]] = field(default_factory=dict)

    async def fill(self, execute: Execute) -> None:
        """Write its jobs."""
        waiting, now = min(self.rows, QUEUED_MAX), time.time()
        ended = self.rows - waiting
        dialect = _DIALECT[self.engine]
        for first in range(1, self.rows + 1, LOAD_ROWS):
            last = min(first + LOAD_ROWS - 1, self.rows)
            await execute(_LOAD.format(**dialect, first=first, last=last, waiting=waiting, now=now))
            _say(f"{self.engine}: {last:,} of {self.rows:,} rows")
        await execute(f"UPDATE cluster SET position = {ended}")
        counted = f"{waiting}, 0, {ended}, 0, 0, {waiting * (STEPS - 1.0)}, {self.rows}, {ended}"
        await execute(f"INSERT INTO tally VALUES ('before', '{KIND}', {counted})")
        await execute(dialect["settle"])

    async def run(self, batch: int, cycles: int) -> None:
        """Go through ``cycles`` cycles and note the rates."""
        facts = WorkerFacts(self.worker, "1", {KIND: Pace(1e9, 1e9, batch)}, (KIND,))
        spent = dict.fromkeys(PHASES, 0.0)

        async def timed(phase: str, round_: Round) -> Receipt:
            began = time.perf_counter()
            receipt = await self.store.commit(round_, time.time())
            spent[phase] += time.perf_counter() - began
            return receipt

        for _ in range(cycles):
            new = [Submission(new_id(), "local", None, KIND, 5, Chain(bytes(64), 1, STEPS)) for _ in range(batch)]
            await timed("submit", Round(submissions=new))
            grants = (await timed("claim", Round(asks=[Ask(facts)]))).grants[0].grants
            assert len(grants) == batch, f"{len(grants)} of {batch} were granted"
            complete = machine.Completed(bytes(64), STEPS)
            reports = [Report(self.worker, "1", Held(job.job_id, job.lease.epoch), complete) for job in grants]
            assert set((await timed("report", Round(reports=reports))).verdicts) == {Verdict.ACCEPTED}
        for phase in PHASES:
            self.rates.setdefault((phase, batch), []).append(batch * cycles / spent[phase])

    @property
    def name(self) -> str:
        return f"{self.engine} {self.rows:,}"


async def opened(engine: str, rows: int, folder: Path, server: LocalPostgres | None) -> Database:
    """Make a store, open it and fill it."""
    if server is None:
        path = folder / f"{rows}.db"
        lite = SqliteStore(path, RULES)
        await lite.open()
        database = Database(engine, rows, lite)
        with closing(sqlite3.connect(path, isolation_level=None)) as own:
            await database.fill(_in_file(own))
        return database
    name = f"rows{rows}"
    admin = await asyncpg.connect(server.url())
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.close()
    store = PostgresStore(server.url(name), RULES, f"http://{name}")
    await store.open()
    database = Database(engine, rows, store)
    direct = await asyncpg.connect(server.url(name))
    await database.fill(direct.execute)
    await direct.close()
    return database


def _in_file(own: sqlite3.Connection) -> Execute:
    async def execute(statement: str) -> object:
        return own.execute(statement)

    return execute


async def measure(arguments: argparse.Namespace, folder: Path) -> list[Database]:
    """Fill the databases, run through them in turns, and check them."""
    with ExitStack() as servers:
        server = None
        if "postgres" in arguments.engines:
            server = LocalPostgres(ServerOptions(folder / "postgres", free_api_port(1)), new_id)
            server.start()
            servers.callback(server.stop)
        databases = [
            await opened(engine, rows, folder, server if engine == "postgres" else None)
            for engine in arguments.engines
            for rows in sorted(arguments.rows)
        ]
        for number in range(arguments.runs + 1):
            for database in databases:
                for batch in arguments.batches:
                    await database.run(batch, max(CYCLES_MIN, min(CYCLES_MAX, arguments.jobs // batch)))
            if number == 0:
                for database in databases:
                    database.rates.clear()  # the first run fills caches and statements
            _say(f"run {number} of {arguments.runs}")
        for database in databases:
            for sentence in await database.store.check():
                raise SystemExit(f"{database.name} is broken: {sentence}")
            await database.store.close()
    return databases


def report(databases: Sequence[Database], batches: Sequence[int]) -> Table:
    """Lay the medians out, and beside them, in percent, the median of what each run made of the fewest rows' rate."""
    table = Table(title="jobs a second: median (part of the rate in front of the fewest rows)", title_justify="left")
    table.add_column("rounds of")
    for batch in batches:
        table.add_column(f"{batch}", justify="right")
    for phase in PHASES:
        first: dict[str, Database] = {}
        for database in databases:
            fewest = first.setdefault(database.engine, database)
            cells = [_cell(database.rates[phase, batch], fewest.rates[phase, batch]) for batch in batches]
            table.add_row(f"{phase}, {database.name}", *cells)
        table.add_section()
    return table


def _cell(rates: Sequence[float], fewest: Sequence[float]) -> str:
    part = statistics.median(rate / base for rate, base in zip(rates, fewest, strict=True))
    return f"{statistics.median(rates):,.0f}" + ("" if rates is fewest else f" ({part:.0%})")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Claim, submit and report rates of the stores.")
    parser.add_argument("--engines", nargs="+", choices=sorted(_DIALECT), default=sorted(_DIALECT, reverse=True))
    parser.add_argument("--rows", nargs="+", type=int, default=[10_000, 1_000_000, 5_000_000])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 10, 100, 500])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2_000, help="jobs in a run: at least 10 batches, at most 200")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dynwork-bench-") as folder:
        databases = asyncio.run(measure(arguments, Path(folder)))
    Console(width=200).print(report(databases, arguments.batches))


if __name__ == "__main__":
    main()
