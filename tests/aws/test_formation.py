"""The lab's CloudFormation does what a script relies on: in its place, all or nothing, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError
from tests.aws.account import contents
from tests.aws.lab.cloud import Cloud
from tests.aws.lab.image import ROOT, command_line

STACK, SECRET = "one", "/one/password"
TEMPLATE = (Path(__file__).parent / "rollout.yaml").read_text()

Service = Callable[[str], Any]


@pytest.fixture
def formation(service: Service) -> Iterator[Any]:
    """CloudFormation, with the secret that the template wants; no stack is left afterwards."""
    service("ssm").put_parameter(Name=SECRET, Value="the-first", Type="SecureString", Overwrite=True)
    formation = service("cloudformation")
    yield formation
    for database in service("rds").describe_db_instances()["DBInstances"]:
        unprotect(service, database["DBInstanceIdentifier"])
    formation.delete_stack(StackName=STACK)
    assert formation.describe_stacks()["Stacks"] == []


def unprotect(service: Service, database: str) -> None:
    service("rds").modify_db_instance(DBInstanceIdentifier=database, DeletionProtection=False)


def parameters(**given: str) -> list[dict[str, str]]:
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in given.items()]


def make(formation: Any, template: str = TEMPLATE, **given: str) -> None:
    formation.create_stack(
        StackName=STACK, TemplateBody=template, Parameters=parameters(**given), Capabilities=["CAPABILITY_IAM"]
    )


def change(formation: Any, template: str = TEMPLATE, **given: str) -> None:
    formation.update_stack(
        StackName=STACK, TemplateBody=template, Parameters=parameters(**given), Capabilities=["CAPABILITY_IAM"]
    )


def status(formation: Any) -> str:
    return str(formation.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"])


def reasons(formation: Any, state: str) -> dict[str, str]:
    events = formation.describe_stack_events(StackName=STACK)["StackEvents"]
    return {
        event["LogicalResourceId"]: event["ResourceStatusReason"]
        for event in events
        if event["ResourceStatus"] == state and event["LogicalResourceId"] != STACK
    }


def group(service: Service) -> dict[str, Any]:
    (found,) = service("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    return dict(found)


def machines(service: Service) -> dict[str, str]:
    return {one["InstanceId"]: one["LaunchTemplate"]["Version"] for one in group(service)["Instances"]}


def test_a_change_is_made_in_its_place_and_what_runs_is_left_alone(formation: Any, service: Service) -> None:
    make(formation, Word="first")
    before, name = machines(service), group(service)["AutoScalingGroupName"]
    assert set(before.values()) == {"1"}
    change(formation, Word="second", Most="5")
    after = group(service)
    assert (after["AutoScalingGroupName"], after["MaxSize"], after["LaunchTemplate"]["Version"]) == (name, 5, "2")
    assert machines(service) == before
    assert "second" in str(after["Tags"])
    outputs = formation.describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
    assert {"OutputKey": "Version", "OutputValue": "2"} in outputs


def test_nothing_to_change_is_an_error_of_the_call(formation: Any) -> None:
    make(formation, Word="first")
    with pytest.raises(ClientError, match=r"ValidationError.*No updates are to be performed\."):
        change(formation, Word="first")
    assert status(formation) == "CREATE_COMPLETE"


def test_a_resource_that_cannot_be_made_takes_back_all_the_others(formation: Any, service: Service) -> None:
    make(formation, TEMPLATE.replace("ssm-secure:/one/password", "ssm-secure:/none"))
    assert status(formation) == "ROLLBACK_COMPLETE"
    assert "cannot be found" in reasons(formation, "CREATE_FAILED")["Database"]
    assert len(service("ec2").describe_vpcs()["Vpcs"]) == 1
    with pytest.raises(ClientError, match="ROLLBACK_COMPLETE state and can not be updated"):
        change(formation)


def test_a_change_that_fails_is_taken_back(formation: Any, service: Service) -> None:
    make(formation, Word="first")
    change(formation, TEMPLATE.replace("ssm-secure:/one/password", "ssm-secure:/none"), Word="second")
    assert status(formation) == "UPDATE_ROLLBACK_COMPLETE"
    assert "first" in str(group(service)["Tags"])
    change(formation, Word="third")
    assert status(formation) == "UPDATE_COMPLETE"


def test_a_database_that_is_protected_stays_and_so_does_what_it_needs(formation: Any, service: Service) -> None:
    make(formation)
    (database,) = service("rds").describe_db_instances()["DBInstances"]
    assert database["Endpoint"]["Port"] == 5432
    assert database["DeletionProtection"]
    formation.delete_stack(StackName=STACK)
    assert status(formation) == "DELETE_FAILED"
    assert set(reasons(formation, "DELETE_FAILED")) == {"Database"}
    assert service("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"] == []
    assert len(service("rds").describe_db_instances()["DBInstances"]) == 1
    with pytest.raises(WaiterError, match="DELETE_FAILED"):
        formation.get_waiter("stack_delete_complete").wait(StackName=STACK)


def test_after_a_deletion_the_account_is_as_it_was_before(formation: Any, service: Service) -> None:
    before = contents(service)
    make(formation)
    assert contents(service) != before
    unprotect(service, service("rds").describe_db_instances()["DBInstances"][0]["DBInstanceIdentifier"])
    formation.delete_stack(StackName=STACK)
    assert contents(service) == before


def test_what_the_template_does_not_allow_is_refused_before_anything_is_made(formation: Any) -> None:
    with pytest.raises(ClientError, match="Parameter 'Most' must be a number not greater than 9"):
        make(formation, Most="10")
    with pytest.raises(ClientError, match="InsufficientCapabilities"):
        formation.create_stack(StackName=STACK, TemplateBody=TEMPLATE)
    assert formation.describe_stacks()["Stacks"] == []


@pytest.mark.system
def test_the_command_line_deploys_finds_nothing_to_do_changes_one_parameter_and_deletes(
    formation: Any, service: Service, cloud: Cloud, tmp_path: Path
) -> None:
    program = command_line(ROOT / ".venv" / "lab")

    def aws(*arguments: str) -> str:
        done = subprocess.run(
            [str(program), "cloudformation", *arguments], capture_output=True, text=True, env={**os.environ}
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (tmp_path / "template.yaml").write_text(TEMPLATE)
    deploy = ["deploy", "--stack-name", STACK, "--template-file", str(tmp_path / "template.yaml")]
    deploy += ["--capabilities", "CAPABILITY_IAM", "--no-fail-on-empty-changeset"]
    assert "Successfully created" in aws(*deploy, "--parameter-overrides", "Word=first", "Most=7")
    assert "No changes to deploy" in aws(*deploy)
    before = machines(service)
    assert "Successfully" in aws(*deploy, "--parameter-overrides", "Word=second")
    assert machines(service) == before
    assert (group(service)["MaxSize"], group(service)["LaunchTemplate"]["Version"]) == (7, "2")
    asked = ("describe-stacks", "--stack-name", STACK, "--output", "text")
    assert aws(*asked, "--query", "Stacks[0].Outputs[?OutputKey=='Version'].OutputValue").strip() == "2"
    unprotect(service, service("rds").describe_db_instances()["DBInstances"][0]["DBInstanceIdentifier"])
    aws("delete-stack", "--stack-name", STACK)
    aws("wait", "stack-delete-complete", "--stack-name", STACK)
