"""What a launch on EC2 asks for, and what is made of each answer, expected or not; over EC2 in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from botocore.parsers import ResponseParserError

from dynwork.errors import FleetDeniedError, FleetError, FleetTemplateError, FleetUnclearError
from dynwork.orchestrator.fleet.ec2 import provider as ec2
from dynwork.orchestrator.fleet.ec2.places import ON_DEMAND, SPOT, UNCLEAR_MAX, pools
from dynwork.orchestrator.fleet.ec2.provider import INSTANCE_TAG, Ec2Provider, Ec2Setup
from dynwork.orchestrator.fleet.provider import Exit, Presence
from dynwork.testing.clock import FakeClock
from dynwork.testing.ec2 import Box, Mishap, SimulatedEc2
from dynwork.testing.provider_contract import launched

THERE, ENDING, ENDED = Presence


async def cluster_id() -> str:
    return "our-cluster"


TAGS = {"team": "video", "dynwork:release": "releases/1"}
"""What somebody wants on the bill, beside our own."""


def provider_of(
    client: SimulatedEc2, template: str = "worker", market: str = ON_DEMAND, build: str = "build-1"
) -> Ec2Provider:
    places = pools((market,), ("c7a.large",), ("s1", "s2"))
    setup = Ec2Setup(template, places, "boot {}".format, cluster_id, TAGS, build)
    return Ec2Provider(client, setup, FakeClock())


@pytest.fixture
def cloud() -> SimulatedEc2:
    return SimulatedEc2(FakeClock())


@pytest.fixture
def provider(cloud: SimulatedEc2) -> Ec2Provider:
    return provider_of(cloud)


# -- what a launch asks for -------------------------------------------------------------------------------------------
async def asked_for(cloud: SimulatedEc2, **changes: str) -> Mapping[str, Any]:
    await launched(provider_of(cloud, **changes), "our-id")
    (box,) = cloud.boxes.values()
    return box.parameters


async def test_a_spot_machine_is_asked_for_once_and_ends_when_it_is_taken_back(cloud: SimulatedEc2) -> None:
    assert (await asked_for(cloud, market=SPOT))["InstanceMarketOptions"] == {
        "MarketType": "spot",
        "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
    }


async def test_an_on_demand_machine_has_nothing_of_spot(cloud: SimulatedEc2) -> None:
    assert "InstanceMarketOptions" not in await asked_for(cloud)


async def test_a_launch_asks_for_one_machine_under_our_name(cloud: SimulatedEc2) -> None:
    asked = await asked_for(cloud)
    assert (asked["MinCount"], asked["MaxCount"], asked["ClientToken"]) == (1, 1, "our-id")
    assert asked["InstanceInitiatedShutdownBehavior"] == "terminate"


async def test_a_machine_and_its_volumes_carry_the_same_tags(cloud: SimulatedEc2) -> None:
    tags = {one["ResourceType"]: one["Tags"] for one in (await asked_for(cloud))["TagSpecifications"]}
    assert tags.keys() == {"instance", "volume"}
    assert tags["volume"] == tags["instance"]
    assert {tag["Key"]: tag["Value"] for tag in tags["volume"]} == {
        "Name": "dynwork-worker",
        "dynwork:cluster": "our-cluster",
        "dynwork:instance": "our-id",
        "dynwork:build": "build-1",
        **TAGS,
    }


async def test_a_machine_that_boots_something_else_than_the_next_one_would_is_outdated(cloud: SimulatedEc2) -> None:
    await launched(provider_of(cloud, build="build-1"), "earlier")
    now = provider_of(cloud, build="build-2")
    await launched(now, "later")
    made_before_there_were_builds = cloud.boxes[next(iter(cloud.boxes))]
    assert {machine.instance_id: machine.is_outdated for machine in await now.machines()} == {
        "earlier": True,
        "later": False,
    }
    del made_before_there_were_builds.tags["dynwork:build"]
    assert [machine.instance_id for machine in await now.machines() if machine.is_outdated] == ["earlier"]


@pytest.mark.parametrize(
    ("template", "named"),
    [
        ("lt-0123", {"LaunchTemplateId": "lt-0123", "Version": "$Default"}),
        ("lt-0123:7", {"LaunchTemplateId": "lt-0123", "Version": "7"}),
        ("worker", {"LaunchTemplateName": "worker", "Version": "$Default"}),
        ("worker:$Latest", {"LaunchTemplateName": "worker", "Version": "$Latest"}),
    ],
)
async def test_a_template_is_named_by_its_id_or_its_name_and_by_its_default_version_unless_one_is_said(
    cloud: SimulatedEc2, template: str, named: dict[str, str]
) -> None:
    assert (await asked_for(cloud, template=template))["LaunchTemplate"] == named


# -- what is made of an answer ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (ParamValidationError(report="Invalid type for parameter UserData"), FleetTemplateError),
        (NoCredentialsError(), FleetDeniedError),
        (PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), FleetDeniedError),
        (CredentialRetrievalError(provider="iam-role", error_msg="no role"), FleetDeniedError),
        (EndpointConnectionError(endpoint_url="https://ec2.invalid"), FleetUnclearError),
        (ResponseParserError("Unable to parse response"), FleetUnclearError),
        (ClientError({}, "RunInstances"), FleetUnclearError),
        (ConnectionResetError(), FleetUnclearError),
        (TimeoutError(), FleetUnclearError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_whatever_a_call_raises_is_a_failure_of_the_fleet(
    cloud: SimulatedEc2, provider: Ec2Provider, error: Exception, meaning: type[FleetError]
) -> None:
    (machine,) = await launched(provider, "i-1")

    def broken(*_: object) -> None:
        raise error

    cloud.mishap = broken
    for call in (provider.launch("i-2", provider.place()), provider.machines(), provider.terminate(machine)):
        with pytest.raises(FleetError) as failed:
            await call
        assert type(failed.value) is meaning


@pytest.mark.parametrize("code", ["InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"])
async def test_a_machine_that_ec2_does_not_know_needs_no_end(
    cloud: SimulatedEc2, provider: Ec2Provider, code: str
) -> None:
    (machine,) = await launched(provider, "i-1")
    cloud.mishap = lambda *_: Mishap(code=code)
    await provider.terminate(machine)


@pytest.mark.parametrize("answer", [{}, {"Instances": None}, {"Instances": []}, {"Instances": [{}]}])
async def test_a_launch_that_names_no_machine_is_unclear(
    cloud: SimulatedEc2, provider: Ec2Provider, answer: dict[str, Any]
) -> None:
    async def odd(**_: object) -> dict[str, Any]:
        return answer

    cloud.run_instances = odd  # type: ignore[method-assign]
    with pytest.raises(FleetUnclearError, match="named no instance"):
        await launched(provider, "i-1")


INSTANCE = {"InstanceId": "i-0", "State": {"Name": "running"}, "Tags": [{"Key": INSTANCE_TAG, "Value": "our-id"}]}


def lists(cloud: SimulatedEc2, *answers: Mapping[str, Any]) -> None:
    """Let the cloud answer so when it is asked what there is, the last for ever."""
    left = list(answers)

    async def listed(**_: object) -> Mapping[str, Any]:
        return left.pop(0) if len(left) > 1 else left[0]

    cloud.describe_instances = listed  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        ({}, None),
        ({"Reservations": None}, 0),
        ({"Reservations": [{}]}, 0),
        ({"Reservations": [{"Instances": [{**INSTANCE, "Tags": None}]}]}, 0),
        ({"Reservations": [{"Instances": [{**INSTANCE, "Tags": [{"Key": "other"}]}]}]}, 0),
        ({"Reservations": [{"Instances": [{**INSTANCE, "State": None}]}]}, 1),
        ({"Reservations": [{"Instances": [{**INSTANCE, "StateReason": None}]}]}, 1),
        ({"Reservations": [{"Instances": [{"Tags": INSTANCE["Tags"]}]}]}, None),
        ({"Reservations": [{"Instances": ["odd"]}]}, None),
    ],
)
async def test_an_odd_list_is_read_as_far_as_it_goes_or_unclear_and_never_a_defect(
    cloud: SimulatedEc2, provider: Ec2Provider, answer: dict[str, Any], seen: int | None
) -> None:
    lists(cloud, answer)
    if seen is None:
        with pytest.raises(FleetUnclearError, match=r"not understood|something else answered"):
            await provider.machines()
    else:
        assert len(await provider.machines()) == seen


async def test_a_list_without_an_end_is_not_read_for_ever(
    cloud: SimulatedEc2, provider: Ec2Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ec2, "PAGES_MAX", 3)
    page = {"Reservations": [{"Instances": [INSTANCE]}], "NextToken": "more"}
    lists(cloud, page, page, page, {})
    with pytest.raises(FleetError, match="lists more than 3000 instances"):
        await provider.machines()


# -- states -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("state", "presence"),
    [
        ("pending", THERE),
        ("running", THERE),
        ("stopping", THERE),
        ("stopped", THERE),
        ("shutting-down", ENDING),
        ("terminated", ENDED),
        ("dreaming", THERE),
        ("", THERE),
    ],
)
async def test_only_what_ec2_ends_for_good_goes_and_a_state_unheard_of_is_no_reason_to_forget_a_machine(
    cloud: SimulatedEc2, provider: Ec2Provider, state: str, presence: Presence
) -> None:
    lists(cloud, {"Reservations": [{"Instances": [{**INSTANCE, "State": {"Name": state}}]}]})
    assert [machine.presence for machine in await provider.machines()] == [presence]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"StateReason": {"Message": "no capacity"}, "StateTransitionReason": "by service"}, "no capacity"),
        ({"StateReason": {"Message": ""}, "StateTransitionReason": "by service"}, "by service"),
        ({"StateReason": {}, "StateTransitionReason": "by service"}, "by service"),
        ({"StateTransitionReason": "by service"}, "by service"),
        ({}, ""),
    ],
)
async def test_why_a_machine_ended_is_told_as_far_as_ec2_says(
    cloud: SimulatedEc2, provider: Ec2Provider, said: dict[str, Any], reason: str
) -> None:
    lists(cloud, {"Reservations": [{"Instances": [{**INSTANCE, "State": {"Name": "terminated"}, **said}]}]})
    assert [machine.reason for machine in await provider.machines()] == [reason]


# -- hints ------------------------------------------------------------------------------------------------------------
async def heard(provider: Ec2Provider) -> list[Exit]:
    """The hints that wait."""
    hints: list[Exit] = []
    while True:
        try:
            async with asyncio.timeout(0):
                hints.append(await provider.next_exit())
        except TimeoutError:
            return hints


def end_all(cloud: SimulatedEc2) -> list[Box]:
    ended = cloud.living
    for box in ended:
        cloud.end(box.provider_id, "taken back")
    return ended


async def test_an_end_is_hinted_at_once_and_not_again_while_it_is_listed(
    cloud: SimulatedEc2, provider: Ec2Provider
) -> None:
    await launched(provider, "i-1")
    await provider.machines()
    (ended,) = end_all(cloud)
    for _ in range(3):
        await provider.machines()
    assert await heard(provider) == [Exit("i-1", "taken back", ended.provider_id)]


async def test_what_had_ended_before_the_first_look_is_no_news(cloud: SimulatedEc2, provider: Ec2Provider) -> None:
    await launched(provider, "i-1")
    end_all(cloud)
    await provider.machines()
    assert await heard(provider) == []


async def test_hints_that_nobody_hears_are_dropped_and_the_list_shows_every_end_all_the_same(
    cloud: SimulatedEc2, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ec2, "EXITS_MAX", 2)
    provider = provider_of(cloud)
    await launched(provider, *(f"i-{number}" for number in range(5)))
    await provider.machines()
    end_all(cloud)
    assert [machine.presence for machine in await provider.machines()] == [ENDED] * 5
    assert len(await heard(provider)) == 2


# -- pools ------------------------------------------------------------------------------------------------------------
async def test_a_pool_that_gives_machines_between_unclear_answers_is_not_set_aside(
    cloud: SimulatedEc2, provider: Ec2Provider
) -> None:
    first = provider.place()

    def broken(*_: object) -> None:
        raise TimeoutError

    for number in range(2 * UNCLEAR_MAX):
        cloud.mishap = broken
        with pytest.raises(FleetUnclearError):
            await provider.launch(f"i-{number}", first)
        cloud.mishap = lambda *_: None
        await provider.launch(f"i-{number}", first)
    assert provider.place() == first
