"""The lab's Auto Scaling groups keep to their size, as AWS's do: one machine for each that is lost, in its own time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from tests.aws.lab.cloud import local_cloud

from dynwork.testing.waiting import wait_until

TEMPLATE = (Path(__file__).parent / "rollout.yaml").read_text()

Service = Callable[[str], Any]


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """A stack in a cloud whose machines take their time to end, and are pending for 0.2 s or as the parameter says."""
    session = botocore.session.get_session()
    session.set_credentials("lab", "lab")
    with local_cloud(pending_s=getattr(request, "param", 0.2), unseen_s=0.1, ending_s=0.5, pace=0.01) as cloud:

        def service(name: str) -> Any:
            return session.create_client(name, region_name="eu-central-1", endpoint_url=cloud.url)

        service("ssm").put_parameter(Name="/one/password", Value="it", Type="SecureString", Overwrite=True)
        formation = service("cloudformation")
        formation.create_stack(StackName="one", TemplateBody=TEMPLATE, Capabilities=["CAPABILITY_IAM"])
        yield service
        (database,) = service("rds").describe_db_instances()["DBInstances"]
        service("rds").modify_db_instance(
            DBInstanceIdentifier=database["DBInstanceIdentifier"], DeletionProtection=False
        )
        formation.delete_stack(StackName="one")
        assert formation.describe_stacks()["Stacks"] == []


def members(service: Service) -> dict[str, str]:
    (group,) = service("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    return {one["InstanceId"]: one["LifecycleState"] for one in group["Instances"]}


def states(service: Service) -> dict[str, str]:
    pages = service("ec2").describe_instances()["Reservations"]
    return {one["InstanceId"]: one["State"]["Name"] for page in pages for one in page["Instances"]}


def await_two(service: Service, *without: str) -> set[str]:
    def two() -> set[str]:
        found = members(service)
        settled = set(found.values()) == {"InService"} and len(found) == 2 and not found.keys() & set(without)
        return set(found) if settled else set()

    return wait_until(two, "two machines in service", 30.0)


@pytest.mark.parametrize("service", [3600.0], indirect=True)
def test_a_machine_of_a_group_begins_like_any_other(service: Service) -> None:
    two = members(service)
    assert list(two.values()) == ["Pending", "Pending"]
    wait_until(lambda: states(service).keys() >= two.keys(), "they are listed")
    assert {states(service)[one] for one in two} == {"pending"}


def test_a_machine_of_a_group_is_launched_as_its_template_says(service: Service) -> None:
    (one, _) = sorted(await_two(service))
    ec2 = service("ec2")
    wait_until(lambda: one in states(service), "it is listed")
    ((machine,),) = [page["Instances"] for page in ec2.describe_instances(InstanceIds=[one])["Reservations"]]
    assert machine["MetadataOptions"]["HttpTokens"] == "required"
    assert "Profile" in machine["IamInstanceProfile"]["Arn"]
    assert machine["InstanceType"] == "t3.small"
    assert {"Key": "word", "Value": "hello"} in machine["Tags"]
    data = ec2.describe_instance_attribute(InstanceId=one, Attribute="userData")["UserData"]["Value"]
    assert data.startswith("IyEvYmluL2Jhc2g"), "#!/bin/bash"


@pytest.mark.parametrize("how", ["ended", "stopped", "unhealthy", "taken out"])
def test_a_machine_that_is_lost_is_replaced_once_whatever_became_of_it(service: Service, how: str) -> None:
    (lost, kept) = sorted(await_two(service))
    ever = len(states(service))
    groups, ec2 = service("autoscaling"), service("ec2")
    match how:
        case "ended":
            ec2.terminate_instances(InstanceIds=[lost])
        case "stopped":
            ec2.stop_instances(InstanceIds=[lost])
        case "unhealthy":
            groups.set_instance_health(InstanceId=lost, HealthStatus="Unhealthy")
        case _:
            groups.terminate_instance_in_auto_scaling_group(InstanceId=lost, ShouldDecrementDesiredCapacity=False)
            assert members(service)[lost] == "Terminating"
            assert states(service)[lost] == "running", "it drains"
    assert kept in await_two(service, lost)
    wait_until(lambda: states(service)[lost] == "terminated", "it has ended")
    wait_until(lambda: len(states(service)) == ever + 1, "one came for it")


def test_a_group_is_no_smaller_and_no_larger_than_it_may_be(service: Service) -> None:
    (one, _) = sorted(await_two(service))
    groups = service("autoscaling")
    name = groups.describe_auto_scaling_groups()["AutoScalingGroups"][0]["AutoScalingGroupName"]
    with pytest.raises(ClientError, match="above max value 3"):
        groups.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=4)
    with pytest.raises(ClientError, match="min size constraint"):
        groups.terminate_instance_in_auto_scaling_group(InstanceId=one, ShouldDecrementDesiredCapacity=True)
    groups.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=3)
    assert len(members(service)) == 3
    groups.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=2)
    assert len(await_two(service)) == 2
