"""Who leads, and for how long."""

from prometheus_client import CollectorRegistry

from dynwork.orchestrator.core.leasing import LeasePolicy
from dynwork.orchestrator.grace import Grace
from dynwork.orchestrator.leader import TTL_S, Leader
from dynwork.orchestrator.metrics import Metrics
from dynwork.orchestrator.outages import Outages
from dynwork.orchestrator.store.values import Rules
from dynwork.testing.orchestrator import Bench, ScriptedStore, StallClock


def candidate(store: ScriptedStore, clock: StallClock, holder: str) -> Leader:
    metrics = Metrics(CollectorRegistry())
    return Leader(store, clock, metrics, Outages(Grace(clock, LeasePolicy()), clock, metrics), holder)


def two() -> tuple[ScriptedStore, StallClock, Leader, Leader]:
    store, clock = ScriptedStore(Rules(leasing=LeasePolicy())), StallClock()
    return store, clock, candidate(store, clock, "a"), candidate(store, clock, "b")


async def test_the_first_leads_and_the_other_does_not() -> None:
    _, _, a, b = two()
    await a.renew()
    await b.renew()
    assert (a.epoch, b.epoch) == (1, None)
    assert (a.leads(), b.leads()) == (True, False)


async def test_nobody_leads_before_it_has_asked() -> None:
    _, _, a, _ = two()
    assert a.epoch is None


async def test_the_time_of_a_leader_counts_from_its_question_not_from_the_answer() -> None:
    class SlowStore(ScriptedStore):
        async def lead(self, holder: str, now: float, ttl_s: float, decision: str | None = None) -> int | None:
            epoch = await super().lead(holder, now, ttl_s, decision)
            clock.stall(TTL_S)
            return epoch

    clock = StallClock()
    a = candidate(SlowStore(Rules()), clock, "a")
    await a.renew()
    assert a.epoch is None, "by the store's books it may be replaced already"


async def test_a_leader_that_renews_keeps_its_epoch() -> None:
    _, clock, a, b = two()
    for _ in range(10):
        await a.renew()
        await b.renew()
        await clock.advance(TTL_S / 3)
    assert (a.epoch, b.epoch) == (1, None)


async def test_a_leader_that_falls_silent_is_replaced_under_a_new_epoch() -> None:
    _, clock, a, b = two()
    await a.renew()
    clock.stall(TTL_S + 0.1)
    await b.renew()
    assert (a.epoch, b.epoch) == (None, 2)
    await a.renew()
    assert a.epoch is None


async def test_a_leader_that_cannot_renew_stops_acting_at_its_deadline() -> None:
    store, clock, a, _ = two()
    await a.renew()
    store.away = True
    await clock.advance(TTL_S - 0.1)
    await a.renew()
    assert a.epoch == 1
    await clock.advance(0.2)
    assert a.epoch is None


async def test_one_that_resigns_is_replaced_at_once() -> None:
    _, clock, a, b = two()
    await a.renew()
    await a.resign()
    assert not a.leads()
    await clock.advance(0.001)
    await b.renew()
    assert b.epoch == 2


async def test_resigning_without_a_store_ends_quietly() -> None:
    store, _, a, _ = two()
    await a.renew()
    store.away = True
    await a.resign()
    assert not a.leads()


async def test_one_that_does_not_lead_takes_nothing_by_resigning() -> None:
    _, _, a, b = two()
    await b.resign()
    await a.renew()
    assert (a.epoch, b.epoch) == (1, None)


async def test_the_metric_falls_when_the_time_is_up_although_nothing_can_be_asked(bench: Bench) -> None:
    async def shown() -> bool:
        return "dynwork_leading 1.0" in (await bench.http.get("/metrics")).text

    assert await shown()
    bench.store.away = True
    await bench.clock.advance(TTL_S)
    assert not await shown()
