"""The provider contract over EC2 as moto has it, then what only EC2 does: its refusals, lost replies, lags and tags."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import ClientError
from tests.aws.lab.cloud import Cloud, local_cloud

from dynwork.clock import Clock, SystemClock
from dynwork.errors import (
    FleetCapacityError,
    FleetDeniedError,
    FleetError,
    FleetQuotaError,
    FleetTemplateError,
    FleetThrottledError,
    FleetTokenError,
    FleetUnclearError,
)
from dynwork.ids import new_id
from dynwork.orchestrator.fleet.ec2.places import ASIDE_S, ON_DEMAND, SPOT, SPOT_REFUSALS_MAX, UNCLEAR_MAX, pools
from dynwork.orchestrator.fleet.ec2.provider import Ec2Provider, Ec2Setup
from dynwork.orchestrator.fleet.provider import Machine, Presence
from dynwork.testing.clock import FakeClock
from dynwork.testing.ec2 import SimulatedEc2
from dynwork.testing.provider_contract import ProviderContract, launched, living

TYPES = ("c7a.large", "c6a.large")
IMAGE = "ami-12c6146b"
"""One of those that moto has."""
SESSION = get_session()
"""Loads what it knows of EC2 once, which takes a second."""
CONFIG = AioConfig(read_timeout=1, retries={"total_max_attempts": 1, "mode": "standard"})


@dataclass(frozen=True)
class Made:
    """A provider over a cluster that nobody else has, the client that it uses, and the subnets of two zones."""

    provider: Ec2Provider
    client: Any
    cluster_id: str
    subnets: list[str]

    async def described(self) -> list[dict[str, Any]]:
        """What EC2 says of the machines of this cluster."""
        ours = [{"Name": "tag:dynwork:cluster", "Values": [self.cluster_id]}]
        pages = await self.client.describe_instances(Filters=ours)
        return [one for reservation in pages["Reservations"] for one in reservation["Instances"]]


def provider_of(
    client: Any, subnets: list[str], cluster_id: str, clock: Clock | None = None, **changes: Any
) -> Ec2Provider:
    async def named() -> str:
        return cluster_id

    setup: dict[str, Any] = {
        "template": "worker",
        "pools": pools((SPOT, ON_DEMAND), TYPES, subnets),
        "user_data": "#!/bin/sh\n# {}".format,
        "cluster_id": named,
        "build": "build-1",
    }
    return Ec2Provider(client, Ec2Setup(**{**setup, **changes}), clock or SystemClock())


@asynccontextmanager
async def ec2(clock: Clock | None = None, **changes: Any) -> AsyncIterator[Made]:
    """Make a provider."""
    async with SESSION.create_client("ec2", config=CONFIG) as client:
        with contextlib.suppress(ClientError):  # it was there before
            await client.create_launch_template(LaunchTemplateName="worker", LaunchTemplateData={"ImageId": IMAGE})
        subnets = sorted(one["SubnetId"] for one in (await client.describe_subnets())["Subnets"])[:2]
        cluster_id = new_id()
        yield Made(provider_of(client, subnets, cluster_id, clock, **changes), client, cluster_id, subnets)


@pytest.fixture
async def made(cloud: Cloud) -> AsyncIterator[Made]:
    async with ec2() as made:
        yield made


@pytest.fixture
async def provider(made: Made) -> Ec2Provider:
    return made.provider


class TestEc2(ProviderContract):
    @pytest.fixture
    async def provider(self, made: Made) -> Ec2Provider:
        self.client = made.client
        return made.provider

    async def crash(self, provider: Any, machine: Machine) -> None:
        await self.client.terminate_instances(InstanceIds=[machine.provider_id])


class TestSimulatedEc2(ProviderContract):
    """What the fleet is driven by in virtual time is held to what the real calls do."""

    @pytest.fixture
    def provider(self) -> Ec2Provider:
        self.client = SimulatedEc2(SystemClock())
        return provider_of(self.client, ["subnet-1", "subnet-2"], new_id())

    async def crash(self, provider: Any, machine: Machine) -> None:
        self.client.end(machine.provider_id, "crashed")


# -- what a launch says -----------------------------------------------------------------------------------------------
async def test_a_machine_is_made_from_the_template_tagged_in_the_call_and_ends_when_it_powers_off(
    made: Made,
) -> None:
    provider, client = made.provider, made.client
    (machine,) = await launched(provider, "our-id")
    (instance,) = await made.described()
    tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"] if not tag["Key"].startswith("aws:")}
    assert tags == {
        "Name": "dynwork-worker",
        "dynwork:cluster": made.cluster_id,
        "dynwork:instance": "our-id",
        "dynwork:build": "build-1",
    }
    assert (instance["InstanceId"], instance["InstanceType"]) == (machine.provider_id, TYPES[0])
    assert instance["InstanceLifecycle"] == "spot"
    ends = await client.describe_instance_attribute(
        InstanceId=machine.provider_id, Attribute="instanceInitiatedShutdownBehavior"
    )
    assert ends["InstanceInitiatedShutdownBehavior"] == {"Value": "terminate"}
    data = await client.describe_instance_attribute(InstanceId=machine.provider_id, Attribute="userData")
    assert base64.b64decode(data["UserData"]["Value"]) == b"#!/bin/sh\n# our-id"


async def test_only_machines_of_this_cluster_that_the_fleet_made_are_seen(made: Made) -> None:
    provider, client = made.provider, made.client
    await launched(provider, "i-1")
    another = provider_of(client, made.subnets, new_id())
    await launched(another, "i-2")
    tags = [{"Key": "dynwork:cluster", "Value": made.cluster_id}]  # an API's machine, say
    await client.run_instances(
        LaunchTemplate={"LaunchTemplateName": "worker"},
        MinCount=1,
        MaxCount=1,
        SubnetId=made.subnets[0],
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    assert await living(provider) == ["i-1"]
    assert await living(another) == ["i-2"]


async def test_every_page_of_a_long_list_is_read(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynwork.orchestrator.fleet.ec2.provider.PAGE", 5)
    provider = made.provider
    names = sorted(f"i-{number:02}" for number in range(12))
    await launched(provider, *names)
    assert await living(provider) == names


# -- what a refusal means ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("code", "status", "meaning"),
    [
        ("InsufficientInstanceCapacity", 400, FleetCapacityError),
        ("InsufficientInstanceCapacity", 500, FleetCapacityError),
        ("SpotMaxPriceTooLow", 400, FleetCapacityError),
        ("Unsupported", 400, FleetCapacityError),
        ("InsufficientFreeAddressesInSubnet", 400, FleetCapacityError),
        ("VcpuLimitExceeded", 400, FleetQuotaError),
        ("MaxSpotInstanceCountExceeded", 400, FleetCapacityError),
        ("InstanceLimitExceeded", 400, FleetQuotaError),
        ("RequestLimitExceeded", 503, FleetThrottledError),
        ("Throttling", 400, FleetThrottledError),
        ("UnauthorizedOperation", 403, FleetDeniedError),
        ("AuthFailure", 401, FleetDeniedError),
        ("ExpiredToken", 400, FleetDeniedError),
        ("InvalidAMIID.NotFound", 400, FleetTemplateError),
        ("InvalidLaunchTemplateName.NotFoundException", 400, FleetTemplateError),
        ("InvalidParameterValue", 400, FleetTemplateError),
        ("SomethingNewAndWrong", 400, FleetTemplateError),
        ("IdempotentParameterMismatch", 400, FleetTokenError),
        ("IdempotentInstanceTerminated", 400, FleetTokenError),
        ("InternalError", 500, FleetUnclearError),
        ("ServiceUnavailable", 503, FleetUnclearError),
        ("SomethingNewAndBroken", 502, FleetUnclearError),
    ],
)
async def test_a_refusal_has_one_meaning_whatever_its_status_and_is_not_repeated_here(
    provider: Ec2Provider, cloud: Cloud, code: str, status: int, meaning: type[FleetError]
) -> None:
    before = cloud.calls("RunInstances")
    cloud.fail("RunInstances", code, status=status, message="because")
    with pytest.raises(FleetError, match=f"{code}: because") as refused:
        await launched(provider, "i-1")
    assert type(refused.value) is meaning
    assert cloud.calls("RunInstances") - before == 1
    assert await living(provider) == []


async def test_without_credentials_it_is_denied(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    async with get_session().create_client("ec2", config=CONFIG) as nobody:
        with pytest.raises(FleetDeniedError, match="no credentials"):
            await launched(provider_of(nobody, ["subnet-1"], new_id()), "i-1")


async def test_user_data_that_are_too_long_are_a_bad_template(cloud: Cloud) -> None:
    async with ec2(user_data=lambda _: "x" * 16_385) as made:
        with pytest.raises(FleetTemplateError, match="16384 bytes"):
            await launched(made.provider, "i-1")


async def test_a_place_that_is_none_is_a_bad_template(provider: Ec2Provider) -> None:
    with pytest.raises(FleetTemplateError, match="is no place"):
        await provider.launch("i-1", "elsewhere")


@pytest.mark.parametrize("action", ["DescribeInstances", "TerminateInstances"])
@pytest.mark.parametrize(
    ("code", "status", "meaning"),
    [
        ("RequestLimitExceeded", 503, FleetThrottledError),
        ("UnauthorizedOperation", 403, FleetDeniedError),
        ("InternalError", 500, FleetUnclearError),
    ],
)
async def test_other_calls_fail_with_the_same_meanings(
    provider: Ec2Provider, cloud: Cloud, action: str, code: str, status: int, meaning: type[FleetError]
) -> None:
    (machine,) = await launched(provider, "i-1")
    cloud.fail(action, code, status=status)
    with pytest.raises(meaning):
        await (provider.machines() if action == "DescribeInstances" else provider.terminate(machine))
    assert await living(provider) == ["i-1"]


@pytest.mark.parametrize("action", ["RunInstances", "DescribeInstances", "TerminateInstances"])
@pytest.mark.parametrize("status", [200, 403, 503])
async def test_an_answer_that_is_not_ec2_s_is_unclear_whatever_its_status(
    provider: Ec2Provider, cloud: Cloud, action: str, status: int
) -> None:
    (machine,) = await launched(provider, "i-1")
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "RunInstances": lambda: launched(provider, "i-2"),
        "DescribeInstances": provider.machines,
        "TerminateInstances": lambda: provider.terminate(machine),
    }
    cloud.fail(action, status=status, body="upstream connect error")
    with pytest.raises(FleetUnclearError, match="cannot be understood"):
        await calls[action]()
    assert await living(provider) == ["i-1"]


# -- what may have taken effect ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("effect", [True, False])
async def test_a_lost_reply_is_unclear_and_the_same_call_again_makes_one_machine(
    provider: Ec2Provider, cloud: Cloud, effect: bool
) -> None:
    cloud.fail("RunInstances", lost=True, effect=effect)
    where = provider.place()
    with pytest.raises(FleetUnclearError):
        await provider.launch("i-1", where)
    assert await living(provider) == (["i-1"] if effect else [])
    provider_id = await provider.launch("i-1", where)
    assert [machine.provider_id for machine in await provider.machines()] == [provider_id]


async def test_an_answer_that_comes_too_late_is_unclear(provider: Ec2Provider, cloud: Cloud) -> None:
    cloud.fail("RunInstances", delay_s=1.5)
    where = provider.place()
    with pytest.raises(FleetUnclearError, match="no answer"):
        await provider.launch("i-late", where)
    await provider.launch("i-late", where)
    assert await living(provider) == ["i-late"]


async def test_a_token_that_stands_for_another_call_is_told_and_makes_no_second_machine(provider: Ec2Provider) -> None:
    where = provider.place()
    await provider.launch("i-1", where)
    with pytest.raises(FleetTokenError):
        await provider.launch("i-1", where.replace(TYPES[0], TYPES[1]))
    assert await living(provider) == ["i-1"]


# -- what is not seen yet, or still -----------------------------------------------------------------------------------
async def test_a_pending_machine_is_there_and_a_fresh_one_may_be_missing_from_the_list(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    with local_cloud(pending_s=30, unseen_s=1.0) as slow:
        monkeypatch.setenv("AWS_ENDPOINT_URL", slow.url)
        async with ec2() as made:
            provider = made.provider
            (machine,) = await launched(provider, "i-1")
            assert await living(provider) == []
            async with asyncio.timeout(10):
                while await living(provider) != ["i-1"]:
                    await SystemClock().sleep(0.05)
            assert await provider.machines() == [machine]
            await provider.terminate(machine)
            assert [one.presence for one in await provider.machines()] == [Presence.ENDED]


async def test_what_ended_is_known_to_have_ended_and_why(made: Made) -> None:
    provider, client = made.provider, made.client
    (machine,) = await launched(provider, "i-1")
    await client.terminate_instances(InstanceIds=[machine.provider_id])
    (ended,) = await provider.machines()
    assert (ended.provider_id, ended.presence) == (machine.provider_id, Presence.ENDED)
    assert ended.reason


async def test_a_stopped_machine_is_still_there(made: Made) -> None:
    provider, client = made.provider, made.client
    (machine,) = await launched(provider, "i-1")
    await client.stop_instances(InstanceIds=[machine.provider_id])
    assert [one.presence for one in await provider.machines()] == [Presence.THERE]


# -- where the next one is asked for ----------------------------------------------------------------------------------
async def test_spot_comes_first_then_the_next_zone_the_next_type_and_after_refusals_on_demand(cloud: Cloud) -> None:
    clock = FakeClock()
    async with ec2(clock) as made:
        provider, (one, two) = made.provider, made.subnets
        asked = []
        cloud.fail("RunInstances", "InsufficientInstanceCapacity", times=SPOT_REFUSALS_MAX)
        for _ in range(SPOT_REFUSALS_MAX):
            asked.append(provider.place())
            with pytest.raises(FleetCapacityError):
                await provider.launch("i-1", asked[-1])
        assert asked == [f"spot/{TYPES[0]}/{one}", f"spot/{TYPES[0]}/{two}", f"spot/{TYPES[1]}/{one}"]
        assert provider.place() == f"on-demand/{TYPES[0]}/{one}"
        (machine,) = await launched(provider, "i-1")
        (instance,) = await made.described()
        assert (instance["InstanceId"], instance.get("InstanceLifecycle")) == (machine.provider_id, None)
        await clock.advance(ASIDE_S - 0.1)
        assert provider.place().startswith(ON_DEMAND)
        await clock.advance(0.2)
        assert provider.place() == asked[0]


async def test_where_nothing_is_left_it_says_when_there_may_be_something_again(cloud: Cloud) -> None:
    clock = FakeClock()
    async with ec2(clock) as made:
        provider = made.provider
        cloud.fail("RunInstances", "InsufficientInstanceCapacity", times=100)
        for _ in range(SPOT_REFUSALS_MAX + 2 * len(TYPES)):
            with pytest.raises(FleetCapacityError):
                await launched(provider, "i-1")
            await clock.advance(1)
        with pytest.raises(FleetCapacityError, match="any of 8 places") as none:
            provider.place()
        assert none.value.retry_after_s == pytest.approx(ASIDE_S - 5), "all of spot was set aside at the third refusal"


async def test_a_machine_that_was_had_makes_the_refusals_of_spot_count_anew(cloud: Cloud) -> None:
    clock = FakeClock()
    async with ec2(clock) as made:
        provider = made.provider
        for number in range(3 * SPOT_REFUSALS_MAX):
            if number % SPOT_REFUSALS_MAX:
                cloud.fail("RunInstances", "InsufficientInstanceCapacity")
                with pytest.raises(FleetCapacityError):
                    await launched(provider, f"i-{number}")
            else:
                await clock.advance(ASIDE_S + 1)
                await launched(provider, f"i-{number}")
            assert provider.place().startswith(SPOT)


async def test_a_quota_of_spot_leads_to_on_demand_machines_and_one_of_everything_is_told(cloud: Cloud) -> None:
    async with ec2(FakeClock()) as made:
        cloud.fail("RunInstances", "MaxSpotInstanceCountExceeded")
        with pytest.raises(FleetCapacityError):
            await launched(made.provider, "i-1")
        assert made.provider.place().startswith(ON_DEMAND)
    async with ec2(FakeClock(), pools=pools((SPOT,), TYPES, ["subnet-1"])) as made:
        cloud.fail("RunInstances", "MaxSpotInstanceCountExceeded")
        with pytest.raises(FleetQuotaError):
            await launched(made.provider, "i-1")


async def test_a_pool_that_gives_no_clear_answer_again_and_again_is_set_aside(cloud: Cloud) -> None:
    async with ec2(FakeClock()) as made:
        first = made.provider.place()
        cloud.fail("RunInstances", "InternalError", status=500, times=UNCLEAR_MAX)
        for _ in range(UNCLEAR_MAX):
            assert made.provider.place() == first
            with pytest.raises(FleetUnclearError):
                await launched(made.provider, "i-1")
        assert made.provider.place() != first
