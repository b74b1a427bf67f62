"""The instance's transition table: what is not in it is the fence against late and repeated news."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from dynwork.orchestrator.core.instance import (
    COUNTED,
    LEAVING,
    TRANSITIONS,
    Drained,
    Event,
    Gone,
    Instance,
    InstanceState,
    Launched,
    Noticed,
    Reported,
    step,
)

INTENDED, BOOTING, RUNNING, NOTICED, DRAINING, ENDED = InstanceState
EVERY_EVENT: tuple[Event, ...] = (Launched("p2"), Reported(), Noticed("spot"), Drained("idle"), Gone("vanished"))
NOW = 50.0
EXPECTED: dict[tuple[InstanceState, type[Event]], dict[str, object]] = {
    (INTENDED, Launched): {"state": BOOTING, "provider_id": "p2", "launched_at": NOW},
    (INTENDED, Gone): {"state": ENDED, "reason": "vanished", "ended_at": NOW},
    (BOOTING, Reported): {"state": RUNNING},
    (BOOTING, Noticed): {"state": NOTICED, "reason": "spot"},
    (BOOTING, Drained): {"state": DRAINING, "reason": "idle"},
    (BOOTING, Gone): {"state": ENDED, "reason": "vanished", "ended_at": NOW},
    (RUNNING, Noticed): {"state": NOTICED, "reason": "spot"},
    (RUNNING, Drained): {"state": DRAINING, "reason": "idle"},
    (RUNNING, Gone): {"state": ENDED, "reason": "vanished", "ended_at": NOW},
    (NOTICED, Drained): {"state": NOTICED, "reason": "idle"},
    (NOTICED, Gone): {"state": ENDED, "reason": "vanished", "ended_at": NOW},
    (DRAINING, Gone): {"state": ENDED, "reason": "vanished", "ended_at": NOW},
    (ENDED, Noticed): {"state": NOTICED, "reason": "spot"},
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(InstanceState, EVERY_EVENT)))
def test_each_event_does_what_the_table_says_or_nothing(state: InstanceState, event: Event) -> None:
    before = Instance("i", state, 10.0, provider_id="p1", launched_at=20.0)
    assert step(before, event, NOW) == replace(before, **EXPECTED.get((state, type(event)), {}))  # type: ignore[arg-type]


def test_the_table_has_exactly_the_pairs_that_are_tested_here() -> None:
    assert {pair: changes["state"] for pair, changes in EXPECTED.items()} == TRANSITIONS


def test_what_has_ended_is_never_given_work_again() -> None:
    assert {after for (before, _), after in TRANSITIONS.items() if before in LEAVING} <= LEAVING


def test_what_is_given_up_never_counts_again() -> None:
    assert not {after for (before, _), after in TRANSITIONS.items() if before not in COUNTED} & COUNTED


@pytest.mark.parametrize("first", [Drained("the first"), Noticed("the first")])
def test_the_first_reason_is_kept_when_the_machine_goes(first: Event) -> None:
    leaving = step(Instance("i", RUNNING, 10.0), first, 40.0)
    leaving = step(leaving, Drained("another"), 41.0)
    assert step(leaving, Gone("ended"), NOW).reason == "the first"


def test_what_is_found_alive_after_its_end_has_not_ended() -> None:
    ended = step(Instance("i", RUNNING, 10.0), Gone("vanished"), 40.0)
    found = step(ended, Noticed("found alive"), NOW)
    assert (found.state, found.reason, found.ended_at) == (NOTICED, "found alive", None)
