"""Several kinds of work: who is given which, how much of each, and the backlog of each."""

# ruff: noqa: D102 — a test is described by its name
from __future__ import annotations

from dynwork.orchestrator.core.backlog import Backlog
from dynwork.orchestrator.core.worker import Pace
from dynwork.orchestrator.store.commands import Round
from dynwork.testing.store_contract.backend import StoreContract
from dynwork.testing.store_driver import KIND, StoreDriver, of_kind, submission

FAST, SLOW = Pace(capacity=400.0, chain_speed=100.0, lanes=4), Pace(capacity=0.4, chain_speed=0.2, lanes=2)
"""A worker with two cores: a step of the slow kind takes a thousand times as long, and there are no lanes in a core."""
BOTH = {KIND: FAST, "slow": SLOW}


class KindContract(StoreContract):
    """More than one kind in one store."""

    async def test_only_kinds_that_the_worker_knows_are_given(self, drive: StoreDriver) -> None:
        await drive.submit("j1")
        assert await drive.lease("w1", kinds="other another") == ""
        assert await drive.lease("w1", kinds="other sha512-chain") == "j1#1"

    async def test_a_kind_that_the_worker_does_not_know_holds_up_none_that_it_knows(self, drive: StoreDriver) -> None:
        await self._submit(drive, "slow", "slow", KIND, "slow", KIND)
        assert await drive.lease("w1", pace=BOTH, kinds=KIND) == "j3#1 j5#1"
        assert await drive.lease("w1", "j3#1 j5#1", pace=BOTH, kinds=KIND) == ""

    async def test_a_slow_kind_is_not_hoarded_because_the_worker_is_fast_at_another(self, drive: StoreDriver) -> None:
        await self._submit(drive, *["slow"] * 6)
        assert await drive.lease("w1", pace=BOTH) == "j1#1 j2#1"
        assert await drive.lease("w1", "j1#1 j2#1", pace=BOTH) == ""
        assert await drive.lease("w2", pace=BOTH) == "j3#1 j4#1"

    async def test_work_of_one_kind_leaves_the_rest_of_the_worker_to_another(self, drive: StoreDriver) -> None:
        await self._submit(drive, "slow", *[KIND] * 5)
        assert await drive.lease("w1", pace=BOTH) == "j1#1 j2#1 j3#1"  # one core each: two of the four lanes are left
        assert await drive.lease("w1", "j1#1 j2#1 j3#1", pace=BOTH) == ""

    async def test_what_there_is_no_room_for_is_not_overtaken_by_another_kind(self, drive: StoreDriver) -> None:
        """Else a stream of short chains would keep the lanes from ever being free for it."""
        await self._submit(drive, KIND)
        assert await drive.lease("w1", pace=BOTH | {"new": Pace(0.0, 0.0, 1)}) == "j1#1"
        drive.advance(1)
        await drive.try_submit(of_kind("j2", "new"))
        drive.advance(1)
        await drive.submit("j3")
        assert await drive.lease("w1", "j1#1", pace=BOTH | {"new": Pace(0.0, 0.0, 1)}) == ""
        assert await drive.lease("w1", unreported="j1#1", pace=BOTH | {"new": Pace(0.0, 0.0, 1)}) == "j2#1"

    async def test_a_kind_that_was_never_measured_gets_free_lanes_and_nothing_ahead(self, drive: StoreDriver) -> None:
        await self._submit(drive, *["new"] * 4, steps=2)
        paces = {KIND: FAST, "new": Pace(0.0, 0.0, 2)}
        assert await drive.lease("w1", pace=paces) == "j1#1 j2#1"
        assert await drive.lease("w1", "j1#1 j2#1", pace=paces) == ""
        assert await drive.lease("w1", "j1#1", unreported="j2#1", pace=paces) == "j3#1"

    async def test_a_pace_measured_since_is_what_counts_at_the_next_ask(self, drive: StoreDriver) -> None:
        await self._submit(drive, *["new"] * 4, steps=2)
        assert await drive.lease("w1", pace={"new": Pace(0.0, 0.0, 2)}) == "j1#1 j2#1"
        assert await drive.lease("w1", "j1#1 j2#1", pace={"new": Pace(4.0, 2.0, 2)}) == "j3#1 j4#1"

    async def test_the_backlog_is_known_by_kind_and_only_of_kinds_with_work_left(self, drive: StoreDriver) -> None:
        await self._submit(drive, "slow", "slow", KIND, steps=11)
        assert (await drive.store.totals()).backlog == {"slow": Backlog(2, 20.0), KIND: Backlog(1, 10.0)}
        assert await drive.lease("w1", pace=BOTH) == "j1#1 j2#1"
        totals = await drive.store.totals()
        assert totals.backlog == {"slow": Backlog(0, 20.0), KIND: Backlog(1, 10.0)}
        assert (totals.backlog_steps, totals.queued, totals.leased) == (30.0, 1, 2)
        await drive.release("w1", "j1#1@4")
        await drive.cancel("j3")
        assert (await drive.store.totals()).backlog == {"slow": Backlog(1, 17.0)}
        await drive.cancel("j1")
        await drive.cancel("j2")
        assert (await drive.store.totals()).backlog == {}

    async def test_the_queue_is_bounded_over_all_kinds(self, drive: StoreDriver) -> None:
        await self._submit(drive, *["a"] * 10, *["b"] * 9)
        receipt = await drive.commit(Round(submissions=[of_kind("j30", "c"), submission("j31")]))
        assert [getattr(answer, "code", "taken") for answer in receipt.submissions] == ["taken", "queue_full"]

    async def _submit(self, drive: StoreDriver, *kinds: str, steps: int = 1000) -> None:
        """Submit ``j1``, ``j2`` and so on, of these kinds."""
        await drive.commit(Round(submissions=[of_kind(f"j{n}", kind, steps) for n, kind in enumerate(kinds, 1)]))
