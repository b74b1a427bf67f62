"""What is stored against what exists, as a table of cases; time and looks are numbers here."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dynwork.orchestrator.core.instance import Instance, InstanceState
from dynwork.orchestrator.core.worker import Worker, WorkerFacts, WorkerState
from dynwork.orchestrator.fleet.provider import Machine, Presence
from dynwork.orchestrator.fleet.reconcile import Reconciler, Repairs, Sight, by_instance, is_unsettled, members

SILENT_S, APART_S = 6.0, 60.0
INTENDED, BOOTING, RUNNING, NOTICED, DRAINING, ENDED = InstanceState
THERE, ENDING, GONE = Presence


def row(state: InstanceState = RUNNING, name: str = "i-1", launched_at: float | None = 0.0) -> Instance:
    return Instance(name, state, 0.0, f"p-{name}", launched_at)


def machine(name: str = "i-1", presence: Presence = THERE, provider_id: str | None = None) -> Machine:
    return Machine(name, provider_id or f"p-{name}", presence)


def heard(at: float, state: WorkerState = WorkerState.READY, notice: str | None = None) -> Worker:
    return Worker(WorkerFacts("w", "1", instance_id="i-1", notice=notice), state, at + 9, at, at)


def look(now: float, rows: list[Instance], machines: list[Machine] | None, worker: Worker | None = None) -> Sight:
    workers = {} if worker is None else {"i-1": worker}
    found, doubles = by_instance(machines, rows)
    return Sight(now, rows, workers, found, doubles)


@pytest.fixture
def reconciler() -> Reconciler:
    return Reconciler(SILENT_S, APART_S)


# -- losses -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("state", [BOOTING, RUNNING, NOTICED, DRAINING])
def test_what_is_known_to_have_ended_is_lost_at_the_first_look(reconciler: Reconciler, state: InstanceState) -> None:
    ended = replace(machine(presence=GONE), reason="taken back")
    assert reconciler.compare(look(100, [row(state)], [ended])).gone == (("i-1", "taken back"),)


@pytest.mark.parametrize(
    ("looks", "lost"),
    [
        ([100], False),
        ([100, 159], False),
        ([100, 160], True),
        ([100, 110, 160], True),
    ],
)
def test_what_is_missing_is_lost_after_two_looks_that_are_far_enough_apart(
    reconciler: Reconciler, looks: list[float], lost: bool
) -> None:
    found = [reconciler.compare(look(now, [row()], [])) for now in looks]
    assert [bool(repairs.gone) for repairs in found] == [False] * (len(looks) - 1) + [lost]


def test_what_was_seen_in_between_is_missing_anew(reconciler: Reconciler) -> None:
    for now, machines in ((100, []), (130, [machine()]), (160, [])):
        assert not reconciler.compare(look(now, [row()], machines)).gone
    assert reconciler.compare(look(220, [row()], [])).gone


def test_a_list_that_lags_behind_a_launch_loses_nothing(reconciler: Reconciler) -> None:
    fresh = row(BOOTING, launched_at=90)
    assert not reconciler.compare(look(80, [fresh], [])).gone
    assert not reconciler.compare(look(149, [fresh], [])).gone
    assert reconciler.compare(look(150, [fresh], [])).gone == (("i-1", "vanished before its worker reported"),)


def test_a_worker_that_was_heard_of_vouches_for_its_machine(reconciler: Reconciler) -> None:
    for now in (100, 160, 220):
        assert not reconciler.compare(look(now, [row()], [], heard(now - SILENT_S + 0.1))).gone
    assert reconciler.compare(look(280, [row()], [], heard(280 - SILENT_S))).gone


def test_without_a_look_at_the_provider_nothing_is_lost_or_strange(reconciler: Reconciler) -> None:
    for now in (100, 160, 220):
        assert reconciler.compare(look(now, [row()], None)) == Repairs()
    assert not reconciler.compare(look(280, [row()], [])).gone, "it is the first look"


# -- strangers --------------------------------------------------------------------------------------------------------
def test_a_stranger_is_certain_after_two_looks_that_are_far_enough_apart(reconciler: Reconciler) -> None:
    assert reconciler.compare(look(100, [], [machine()])) == Repairs()
    assert reconciler.compare(look(159, [], [machine()])) == Repairs()
    assert reconciler.compare(look(160, [], [machine()])) == Repairs(strangers=(machine(),))


def test_a_stranger_whose_worker_reports_is_adopted(reconciler: Reconciler) -> None:
    reconciler.compare(look(100, [], [machine()], heard(100)))
    assert reconciler.compare(look(160, [], [machine()], heard(160))) == Repairs(adopt=(machine(),))
    lost = heard(160, WorkerState.LOST)
    assert reconciler.compare(look(220, [], [machine()], lost)) == Repairs(strangers=(machine(),))


@pytest.mark.parametrize("presence", [ENDING, GONE])
def test_what_is_ending_by_itself_is_no_stranger(reconciler: Reconciler, presence: Presence) -> None:
    for now in (100, 160, 220):
        assert reconciler.compare(look(now, [], [machine(presence=presence)])) == Repairs()


# -- intents ----------------------------------------------------------------------------------------------------------
def test_an_intent_without_a_machine_is_asked_for_again_and_never_lost(reconciler: Reconciler) -> None:
    intent = replace(row(INTENDED), provider_id=None, launched_at=None)
    for now in (100, 160, 5000):
        assert reconciler.compare(look(now, [intent], [])) == Repairs(launch=("i-1",))


def test_an_intent_whose_machine_is_there_was_launched(reconciler: Reconciler) -> None:
    intent = replace(row(INTENDED), provider_id=None, launched_at=None)
    assert reconciler.compare(look(100, [intent], [machine()])) == Repairs(launched=(machine(),))


def test_an_intent_that_cannot_be_asked_for_again_appears_or_never_was(reconciler: Reconciler) -> None:
    intent = replace(row(INTENDED), provider_id=None, launched_at=None)
    for now in (100, 159):
        assert reconciler.compare(look(now, [intent], []), forsaken={"i-1"}) == Repairs()
    assert reconciler.compare(look(160, [intent], []), forsaken={"i-1"}) == Repairs(gone=(("i-1", "never appeared"),))
    seen = Reconciler(SILENT_S, APART_S).compare(look(160, [intent], [machine()]), forsaken={"i-1"})
    assert seen == Repairs(launched=(machine(),))


# -- what its worker says, and what the provider does -----------------------------------------------------------------
@pytest.mark.parametrize("machines", [None, [machine()]])
def test_a_notice_is_heeded_with_and_without_a_look(reconciler: Reconciler, machines: list[Machine] | None) -> None:
    for state in (BOOTING, RUNNING):
        said = look(100, [row(state)], machines, heard(100, WorkerState.DRAINING, "spot"))
        assert reconciler.compare(said) == Repairs(noticed=(("i-1", "spot"),))
    for state in (NOTICED, DRAINING):
        said = look(100, [row(state)], None, heard(100, WorkerState.DRAINING, "spot"))
        assert reconciler.compare(said) == Repairs()


@pytest.mark.parametrize("state", [BOOTING, RUNNING])
def test_a_notice_of_a_worker_that_is_lost_is_an_old_one(reconciler: Reconciler, state: InstanceState) -> None:
    for machines in (None, [machine()]):
        said = look(100, [row(state)], machines, heard(90, WorkerState.LOST, "spot"))
        assert reconciler.compare(said) == Repairs()


def test_a_machine_that_somebody_else_is_ending_is_as_good_as_noticed(reconciler: Reconciler) -> None:
    ending = look(100, [row()], [machine(presence=ENDING)], heard(100))
    assert reconciler.compare(ending) == Repairs(noticed=(("i-1", "the provider is ending it"),))


def test_a_first_word_is_a_report(reconciler: Reconciler) -> None:
    assert reconciler.compare(look(100, [row(BOOTING)], None, heard(100))) == Repairs(reported=("i-1",))
    assert reconciler.compare(look(100, [row(BOOTING)], None)) == Repairs()


def test_what_is_to_end_and_is_there_is_told_again(reconciler: Reconciler) -> None:
    assert reconciler.compare(look(100, [row(DRAINING)], [machine()])) == Repairs(end=(machine(),))
    assert reconciler.compare(look(100, [row(DRAINING)], [machine(presence=ENDING)])) == Repairs()


# -- doubles ----------------------------------------------------------------------------------------------------------
def test_of_two_machines_of_one_id_the_one_that_the_row_names_is_meant_and_the_other_ended(
    reconciler: Reconciler,
) -> None:
    ours, other = machine(), machine(provider_id="p-0")
    for machines in ([ours, other], [other, ours]):
        assert reconciler.compare(look(100, [row()], machines, heard(100))) == Repairs(end=(other,))


def test_a_double_beside_one_that_has_ended_is_ended_too(reconciler: Reconciler) -> None:
    repairs = reconciler.compare(look(100, [row()], [machine(presence=GONE), machine(provider_id="p-9")]))
    assert (repairs.gone, repairs.end) == ((("i-1", "vanished"),), (machine(provider_id="p-9"),))


def test_without_a_row_one_that_is_there_stands_for_the_id() -> None:
    one, doubles = by_instance([machine(provider_id="p-0", presence=GONE), machine(provider_id="p-9")], [])
    assert (one, doubles) == ({"i-1": machine(provider_id="p-9")}, [])


# -- what is yet to be seen -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("rows", "worker", "unsettled"),
    [
        ([], None, False),
        ([row(INTENDED)], None, True),
        ([row(BOOTING)], None, False),
        ([row(RUNNING)], heard(100), False),
        ([row(RUNNING)], heard(100 - SILENT_S), True),
        ([row(RUNNING)], None, True),
        ([row(NOTICED)], heard(100), True),
        ([row(DRAINING)], heard(100), True),
    ],
)
def test_a_look_is_worth_it_while_something_is_to_appear_or_to_go_or_is_silent(
    rows: list[Instance], worker: Worker | None, unsettled: bool
) -> None:
    assert is_unsettled(look(100, rows, None, worker), SILENT_S) is unsettled


def test_a_machine_under_notice_is_no_member_of_the_fleet_any_more() -> None:
    assert [one.instance_id for one in members(look(100, [row(), row(NOTICED, "i-2")], None))] == ["i-1"]
