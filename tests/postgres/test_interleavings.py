"""Two orchestrators, one step of one between two steps of the other: the order is the test's, not the scheduler's."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection
from sqlalchemy.util import await_only

from dynwork.orchestrator.store.batch import Batch
from dynwork.orchestrator.store.claims import Queue
from dynwork.orchestrator.store.commands import Round
from dynwork.orchestrator.store.postgres import PostgresStore
from dynwork.testing.postgres import Opened
from dynwork.testing.store_contract import RULES
from dynwork.testing.store_driver import KIND, StoreDriver, failed


@pytest.fixture
async def stores(opened: Opened) -> tuple[PostgresStore, PostgresStore]:
    return await opened(), await opened()


async def test_a_job_that_failed_between_a_claim_s_look_and_its_lock_keeps_its_delay(
    stores: tuple[PostgresStore, PostgresStore],
) -> None:
    one, other = stores
    drive = StoreDriver(other)
    await drive.submit("j1")

    async def lease_and_fail() -> None:
        assert await drive.lease("w1") == "j1#1"
        await drive.commit(Round(reports=[failed("w1", "j1#1", jitter=0.5)]))

    def claim(conn: Connection) -> int:
        queue = Queue(Batch(conn, RULES, drive.now, "http://one"))
        waiting = queue.peek([KIND])
        assert waiting is not None
        await_only(lease_and_fail())
        return len(queue.lock([waiting]))

    assert await one._write(claim) == 0
