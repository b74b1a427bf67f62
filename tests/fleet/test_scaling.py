"""The scaling rules: a table of sights and plans, then what must hold for every sight."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynwork.orchestrator.core.backlog import Backlog
from dynwork.orchestrator.core.scaling import Demand, Member, MemberState, Plan, ScalingPolicy, overdue, plan
from dynwork.orchestrator.core.worker import UNMEASURED, Pace

NOW = 1000.0
POLICY = ScalingPolicy(fleet_min=1, fleet_max=4, backlog_target_s=5.0, cooldown_s=5.0, boot_timeout_s=180.0)


KIND = "hash"
NOTHING = Demand({})


def work(steps: float, queued: int, **more: tuple[float, int]) -> Demand:
    """Steps ahead and jobs queued: of the kind that everybody measures, and of more kinds by name."""
    return Demand({kind: Backlog(jobs, ahead) for kind, (ahead, jobs) in {KIND: (steps, queued), **more}.items()})


def ready(name: str = "w", *, leases: int = 0, idle_s: float = 0.0, **more: float) -> Member:
    """A worker that makes 100 steps a second; ``more`` names other kinds it has, and their rates."""
    paces = {kind: Pace(rate, rate) for kind, rate in {KIND: 100.0, **more}.items()}
    return Member(name, MemberState.READY, NOW - idle_s, NOW - 100, paces, leases)


def booting(name: str = "b", *, age_s: float = 1.0) -> Member:
    return Member(name, MemberState.BOOTING, NOW - age_s, NOW - age_s)


def silent(name: str = "s", *, for_s: float = 10.0) -> Member:
    return Member(name, MemberState.SILENT, NOW - for_s, NOW - 100, {KIND: Pace(100.0, 100.0)})


def leaving(name: str = "l") -> Member:
    return Member(name, MemberState.LEAVING, NOW, NOW - 100)


BUSY = ready(leases=3)


CASES: dict[str, tuple[Demand, list[Member], int, str]] = {
    "an empty fleet grows to its minimum": (NOTHING, [], 1, ""),
    "31 s of work for one worker: to the maximum": (work(3100.0, 40), [BUSY], 3, ""),
    "9 s of work: two workers": (work(900.0, 40), [BUSY], 1, ""),
    "exactly the target is enough": (work(500.0, 40), [BUSY], 0, ""),
    "more than the target is too much": (work(501.0, 40), [BUSY], 1, ""),
    "booting ones count: nothing is ordered twice": (work(900.0, 40), [BUSY, booting()], 0, ""),
    "one waiting chain needs one worker more, however long it is": (work(9e9, 1), [BUSY], 1, ""),
    "leased chains cannot be split": (work(9e9, 0), [BUSY], 0, ""),
    "with no rate known, one worker shows it": (work(9e9, 40), [], 1, ""),
    "with no rate known, the booting one is waited for": (work(9e9, 40), [booting()], 0, ""),
    "a slow kind counts by its own rate": (work(0, 0, slow=(9.0, 40)), [ready(leases=3, slow=1.0)], 1, ""),
    "kinds are summed in seconds": (work(300.0, 9, slow=(3.0, 9)), [ready(leases=3, slow=1.0)], 1, ""),
    "a kind that nobody measured wants one worker more than are busy": (
        work(100.0, 0, new=(9.0, 40)),
        [ready(leases=2, new=0.0)],
        1,
        "",
    ),
    "an idle one can show it": (work(0, 0, new=(9.0, 40)), [ready(new=0.0), BUSY], 0, ""),
    "a booting one can show it": (work(0, 0, new=(9.0, 40)), [BUSY, booting()], 0, ""),
    "more are wanted if they are all busy and nothing is shown": (work(0, 0, new=(9.0, 40)), [BUSY, BUSY], 1, ""),
    "what is running is not waited for": (work(0, 0, new=(9e9, 0)), [BUSY, BUSY], 0, ""),
    "never beyond the maximum": (work(0, 0, new=(9e9, 40)), [BUSY] * 4, 0, ""),
    "what one worker has measured goes for those that have not": (
        work(0, 0, new=(9.0, 40)),
        [ready(leases=3, new=1.0), ready(leases=3, new=0.0)],
        0,
        "",
    ),
    "leaving ones take places until they are gone": (work(9e9, 40), [leaving(), BUSY], 2, ""),
    "a silent worker is replaced": (work(900.0, 40), [BUSY, silent()], 1, ""),
    "silent ones take places, too": (work(9e9, 40), [silent(c) for c in "abcd"], 0, ""),
    "the longest idle goes first": (NOTHING, [ready("a", idle_s=9), ready("b", idle_s=7)], 0, "a"),
    "all surplus goes at once, one stays": (NOTHING, [ready(c, idle_s=9) for c in "dcba"], 0, "abc"),
    "an idle one goes, a busy one stays": (NOTHING, [ready("a", idle_s=9), BUSY], 0, "a"),
    "not idle for long enough": (NOTHING, [ready("a", idle_s=4), ready("b", idle_s=4)], 0, ""),
    "not within the cooldown of a launch": (NOTHING, [ready("a", idle_s=9), booting(age_s=2)], 0, ""),
    "not while something is queued": (work(1.0, 1), [ready("a", idle_s=9), ready("b", idle_s=9)], 0, ""),
    "what no worker here has keeps none but the one more that is wanted": (
        work(0, 0, unheard=(9.0, 40)),
        [ready("a", idle_s=9), ready("b", idle_s=8), ready("c", idle_s=7), BUSY],
        0,
        "ab",
    ),
    "a machine that is booting may have it": (
        work(0, 0, unheard=(9.0, 40)),
        [ready("a", idle_s=9), ready("b", idle_s=9), booting(age_s=9)],
        0,
        "",
    ),
    "never below the minimum": (NOTHING, [ready("a", idle_s=9)], 0, ""),
    "busy ones are never ended": (NOTHING, [BUSY, BUSY], 0, ""),
    "above a lowered maximum, idle ones go even while jobs wait": (
        work(1.0, 1),
        [ready(c, idle_s=9) for c in "abcdef"],
        0,
        "ab",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_plan(case: str) -> None:
    demand, fleet, launch, drain = CASES[case]
    made = plan(demand, fleet, POLICY, NOW)
    assert (made.launch, made.drain) == (launch, tuple(drain)), made.decision


def test_the_decision_says_its_numbers() -> None:
    grow = plan(work(3100.0, 40), [BUSY], POLICY, NOW)
    assert grow.decision == "+3: 31.0 s of work ahead for 1 worker, target 5.0 s; want 4 of 1 to 4"
    shrink = plan(NOTHING, [ready("a", idle_s=9), ready("b", idle_s=7)], POLICY, NOW)
    assert shrink.decision == "-1: no work ahead for 2 workers, target 5.0 s; want 1 of 1 to 4; idle for up to 9.0 s"
    hold = plan(work(900.0, 40), [BUSY, booting()], POLICY, NOW)
    assert hold.decision == "hold: 4.5 s of work ahead for 2 workers (1 booting), target 5.0 s; want 2 of 1 to 4"


def test_the_decision_names_what_was_not_measured() -> None:
    made = plan(work(200.0, 0, new=(40.0, 3), slow=(3.0, 1)), [ready(leases=1, slow=1.0)], POLICY, NOW)
    assert made.decision == (
        "+1: 5.0 s of work and 40 steps of new at a rate not known yet ahead for 1 worker,"
        " target 5.0 s; want 2 of 1 to 4"
    )


def test_a_minimum_of_zero_lets_the_fleet_go_to_nothing_and_come_back() -> None:
    policy = ScalingPolicy(fleet_min=0)
    assert plan(NOTHING, [ready("a", idle_s=9)], policy, NOW).drain == ("a",)
    assert plan(work(1.0, 1), [], policy, NOW).launch == 1


def test_a_job_that_waits_gets_a_worker_even_if_it_has_no_step_left() -> None:
    """It was handed back between its last step and its report; or the sum of the backlog is a rounding error below."""
    policy = ScalingPolicy(fleet_min=0)
    assert plan(work(0.0, 1), [], policy, NOW).launch == 1
    assert plan(work(-1e-9, 1), [leaving()], policy, NOW).launch == 1


def test_machines_not_heard_of_in_time_are_overdue() -> None:
    fleet = [booting("new"), booting("old", age_s=180), silent("short"), silent("long", for_s=181), ready(idle_s=999)]
    assert [member.instance_id for member in overdue(fleet, POLICY, NOW)] == ["old", "long"]


members = st.builds(
    Member,
    instance_id=st.uuids().map(str),
    state=st.sampled_from(MemberState),
    since=st.floats(NOW - 300, NOW),
    launched_at=st.floats(NOW - 300, NOW),
    paces=st.dictionaries(
        st.sampled_from((KIND, "new")), st.floats(1e-3, 1e12).map(lambda rate: Pace(rate, rate)) | st.just(UNMEASURED)
    ),
    leases=st.integers(0, 3),
)
fleets = st.lists(members, max_size=12, unique_by=lambda member: member.instance_id)
demands = st.builds(
    lambda known, unknown: Demand({KIND: Backlog(*known), "new": Backlog(*unknown)}),
    st.tuples(st.integers(0, 10**7), st.floats(0, 1e18)),
    st.just((0, 0.0)) | st.tuples(st.integers(0, 10**7), st.floats(0, 1e18)),
)
policies = st.tuples(st.integers(0, 5), st.integers(0, 5)).map(
    lambda pair: ScalingPolicy(fleet_min=pair[0], fleet_max=max(1, sum(pair)))
)


@given(demands, fleets, policies)
def test_the_bounds_hold_whatever_is_seen(demand: Demand, fleet: list[Member], policy: ScalingPolicy) -> None:
    made = plan(demand, fleet, policy, NOW)
    working = [member for member in fleet if member.state in (MemberState.BOOTING, MemberState.READY)]
    places = max(0, policy.fleet_max - len(fleet))
    assert 0 <= made.launch <= places
    assert len(working) + made.launch >= min(policy.fleet_min, len(working) + places)
    assert not made.drain or len(working) - len(made.drain) >= policy.fleet_min
    assert not (made.launch and made.drain)


@given(demands, fleets, policies)
def test_only_idle_ready_workers_are_drained(demand: Demand, fleet: list[Member], policy: ScalingPolicy) -> None:
    known = {member.instance_id: member for member in fleet}
    for instance_id in plan(demand, fleet, policy, NOW).drain:
        member = known[instance_id]
        assert member.state is MemberState.READY
        assert member.leases == 0
        assert NOW - member.since >= policy.cooldown_s


@given(st.floats(0, 1e18), st.floats(0, 1e18), st.integers(0, 10**7), fleets, policies)
def test_more_work_never_makes_the_fleet_smaller(
    one: float, other: float, queued: int, fleet: list[Member], policy: ScalingPolicy
) -> None:
    less, more = sorted((one, other))
    assert _growth(plan(work(less, queued), fleet, policy, NOW)) <= _growth(
        plan(work(more, queued), fleet, policy, NOW)
    )


@given(st.floats(0, 1e18), st.integers(1, 10**7), fleets, policies)
def test_work_that_nobody_can_measure_is_never_taken_for_none(
    steps: float, queued: int, fleet: list[Member], policy: ScalingPolicy
) -> None:
    made = plan(work(0.0, 0, unheard=(steps, queued)), fleet, policy, NOW)
    working = [member for member in fleet if member.state in (MemberState.BOOTING, MemberState.READY)]
    places = max(0, policy.fleet_max - len(fleet))
    busy = sum(member.leases > 0 for member in working)
    assert len(working) + made.launch >= min(busy + 1, policy.fleet_max, len(working) + places)
    assert not made.drain or len(working) - len(made.drain) > min(busy, policy.fleet_max - 1)


@given(demands, fleets, policies)
def test_an_unchanged_sight_settles_and_does_not_flap(
    demand: Demand, fleet: list[Member], policy: ScalingPolicy
) -> None:
    """Carry the plans out on the same demand: soon nothing more is done, and nothing was undone."""
    numbers = itertools.count()
    directions = set()
    for _ in range(12):
        made = plan(demand, fleet, policy, NOW)
        directions |= {"grow"} if made.launch else {"shrink"} if made.drain else set()
        fleet = [member for member in fleet if member.instance_id not in made.drain]
        fleet += [booting(f"new-{next(numbers)}", age_s=0.0) for _ in range(made.launch)]
    assert (made.launch, made.drain) == (0, ())
    assert len(directions) <= 1


def _growth(made: Plan) -> int:
    return made.launch - len(made.drain)
