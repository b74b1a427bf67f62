"""The instance's transition table: what is not in it is the fence against late and repeated news."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from dynwork.orchestrator.core.instance import (
    TRANSITIONS,
    Drained,
    Event,
    Gone,
    Instance,
    InstanceState,
    Launched,
    Reported,
    step,
)

INTENDED, BOOTING, RUNNING, DRAINING, ENDED = InstanceState
EVERY_EVENT: tuple[Event, ...] = (Launched("p2"), Reported(), Drained("idle"), Gone("vanished"))
NOW = 50.0
EXPECTED: dict[tuple[InstanceState, type[Event]], dict[str, object]] = {
    (INTENDED, Launched): {"state": BOOTING, "provider_id": "p2", "launched_at": NOW},
    (INTENDED, Gone): {"state": ENDED, "reason": "vanished", "ended_at": NOW},
    (BOOTING, Reported): {"state": RUNNING},
    (BOOTING, Drained): {"state": DRAINING, "reason": "idle"},
    (BOOTING, Gone): {"state": ENDED, "reason": "vanished", "ended_at": NOW},
    (RUNNING, Drained): {"state": DRAINING, "reason": "idle"},
    (RUNNING, Gone): {"state": ENDED, "reason": "vanished", "ended_at": NOW},
    (DRAINING, Gone): {"state": ENDED, "reason": "vanished", "ended_at": NOW},
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(InstanceState, EVERY_EVENT)))
def test_each_event_does_what_the_table_says_or_nothing(state: InstanceState, event: Event) -> None:
    before = Instance("i", state, 10.0, provider_id="p1", launched_at=20.0)
    assert step(before, event, NOW) == replace(before, **EXPECTED.get((state, type(event)), {}))  # type: ignore[arg-type]


def test_the_table_has_exactly_the_pairs_that_are_tested_here() -> None:
    assert {pair: changes["state"] for pair, changes in EXPECTED.items()} == TRANSITIONS


def test_what_has_ended_stays_ended() -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] is ENDED]


def test_the_reason_of_a_drain_is_kept_when_the_machine_goes() -> None:
    draining = step(Instance("i", RUNNING, 10.0), Drained("idle"), 40.0)
    assert step(draining, Gone("ended"), NOW).reason == "idle"
