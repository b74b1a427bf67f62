"""A backup that was taken under load is restored as docs/howto/high-availability.md says, and the work goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dynwork.testing.chaos.crowd import Crowd
from dynwork.testing.chaos.site import Plan, Site, assert_sound
from dynwork.testing.ledger import Ledger
from dynwork.testing.waiting import wait_until
from dynwork.up.postgres import LocalPostgres

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

JOBS = 200


def test_a_backup_taken_under_load_can_be_restored_and_goes_on(
    tmp_path: Path, database: LocalPostgres, tell: Callable[[str], None]
) -> None:
    with Site(tmp_path / "before", Plan([database.url()] * 2)) as site, Crowd(site.api_urls) as crowd:
        crowd.go_on(JOBS)
        acknowledged = dict(crowd.stream.acknowledged)
        dump = ["--format", "custom", "--file", "dump", "--dbname", database.url()]
        database.run_tool("pg_dump", dump, database.data)
        crowd.go_on(JOBS)
        crowd.settle()

    restored = database.url("restored")
    database.run_tool("createdb", ["--maintenance-db", database.url(), "restored"], database.data)
    database.run_tool("pg_restore", ["--no-owner", "--dbname", restored, "dump"], database.data)
    assert_sound(restored)

    with Site(tmp_path / "after", Plan([restored] * 2)) as site, Ledger(site.api_urls) as ledger:
        for job_id, order in acknowledged.items():
            order.note(ledger, job_id)

        def answered() -> bool:
            ledger.follow()
            return not ledger.open

        wait_until(answered, "what was acknowledged before the dump has its result")
        ledger.check(others=True)
        fresh = ledger.submit(b"after the restore", 1000)
        wait_until(answered, "new work is done")
        assert ledger.job(fresh).state == "succeeded"
    assert_sound(restored)
    tell(f"{len(acknowledged)} jobs acknowledged before the dump, all there and right after it was restored")
