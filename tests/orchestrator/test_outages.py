"""What is told of an outage of the store: its beginning, by whoever met it, and its end."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry

from dynwork.errors import StoreUnavailableError
from dynwork.orchestrator.core.leasing import LeasePolicy
from dynwork.orchestrator.grace import Grace
from dynwork.orchestrator.metrics import Metrics
from dynwork.orchestrator.outages import Outages
from dynwork.testing.orchestrator import StallClock

AWAY = StoreUnavailableError("it is away")


def begun() -> tuple[StallClock, CollectorRegistry, Outages]:
    clock, registry = StallClock(), CollectorRegistry()
    return clock, registry, Outages(Grace(clock, LeasePolicy()), clock, Metrics(registry))


def warnings(events: list[MutableMapping[str, Any]]) -> list[str]:
    return [event["during"] for event in events if event["log_level"] == "warning"]


def test_an_outage_is_told_once_by_each_that_has_met_it_and_counted_every_time(
    events: list[MutableMapping[str, Any]],
) -> None:
    _, registry, outages = begun()
    for _ in range(100):
        outages.met("round", AWAY)
    outages.met("sweep", AWAY)
    assert warnings(events) == ["round", "sweep"]
    assert registry.get_sample_value("dynwork_store_errors_total", {"during": "round"}) == 100


def test_its_end_is_told_with_how_long_it_was_and_the_next_is_told_anew(events: list[MutableMapping[str, Any]]) -> None:
    clock, _, outages = begun()
    outages.over()
    outages.met("round", AWAY)
    clock.stall(12)
    outages.met("lead", AWAY)
    outages.over()
    outages.over()
    assert [event["away_s"] for event in events if event["event"] == "store_back"] == [12]
    outages.met("round", AWAY)
    assert warnings(events) == ["round", "lead", "round"]


def test_a_hint_that_was_not_passed_on_is_no_outage(events: list[MutableMapping[str, Any]]) -> None:
    _, _, outages = begun()
    outages.missed("announce", AWAY)
    assert not outages.grace.store_away
    outages.over()
    assert warnings(events) == ["announce"]
    assert "store_back" not in [event["event"] for event in events]
