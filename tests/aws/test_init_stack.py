"""What scripts/init.sh makes of a stack in every state; a second run mends what the first left. Without machines."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.aws.account import contents, left_elsewhere
from tests.aws.lab.cloud import Cloud
from tests.aws.script import INIT, OPTIONS, REGION, Person, Service, group, issued, parameters, service_roles, state

from dynwork.testing.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.timeout(300)]


def test_a_name_that_somebody_is_about_to_use_is_left_alone_and_ones_own_is_not(
    person: Person, service: Service, release: str
) -> None:
    formation = service("cloudformation")
    theirs = {
        "StackName": "dynwork",
        "ChangeSetType": "CREATE",
        "TemplateBody": '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}',
    }
    formation.create_change_set(ChangeSetName="theirs", **theirs)
    assert state(service) == "REVIEW_IN_PROGRESS"
    assert "somebody prepares a stack 'dynwork'" in person.run(*OPTIONS).sentence()
    assert "somebody prepares a stack 'dynwork'" in person.run(*OPTIONS, "--destroy", "--yes").sentence()
    formation.delete_stack(StackName="dynwork")
    formation.create_change_set(ChangeSetName="ours", Tags=[{"Key": "dynwork:stack", "Value": "dynwork"}], **theirs)
    assert person.run(*OPTIONS, "--destroy", "--yes").code == 0
    assert formation.describe_stacks()["Stacks"] == []


def test_a_full_quota_is_named_and_the_next_run_makes_what_was_asked_for(
    person: Person, service: Service, cloud: Cloud, release: str, tmp_path: Path
) -> None:
    certificate = issued(service, "*.work.example", tmp_path)
    plain, asked = ("--region", REGION, "--timeout", "1"), ("--max-workers", "7", "--alarm-email", "me@work.example")
    cloud.fail("AWS::EC2::EIP", "AddressLimitExceeded", message="The maximum number of addresses has been reached.")
    sentence = person.run(*plain, *asked, "--certificate", certificate, "--ha").sentence()
    why = "NatAddressA: The maximum number of addresses has been reached."
    assert sentence.startswith(f"the stack could not be deployed: {why}")
    assert sentence.endswith("Mend that and run this again")
    assert state(service) == "ROLLBACK_COMPLETE"
    assert f"it is not complete: {why}" in person.run(*plain, "--status").sentence()

    said = person.run(*plain)
    assert "an earlier run was not completed (ROLLBACK_COMPLETE): what it left is removed first" in said.out
    assert "not within 1 s: https://dynwork.work.example answers" in said.sentence(), "there are no machines to answer"
    balancers = service("elbv2").describe_load_balancers()["LoadBalancers"]
    (balancer,) = [one for one in balancers if one["Type"] == "application"]
    asked_for = (tmp_path / "asked").read_text().splitlines()[0]
    assert f"--connect-to dynwork.work.example:443:{balancer['DNSName']}:443" in asked_for
    assert asked_for.endswith("https://dynwork.work.example/readyz"), "the name that its certificate is for"
    assert state(service) == "CREATE_COMPLETE"
    kept = parameters(service)
    assert (kept["WorkersMax"], kept["AlarmEmail"]) == ("7", "me@work.example")
    assert (kept["CertificateArn"], kept["HighAvailability"], kept["Release"]) == (certificate, "true", release)


def test_an_update_that_fails_names_its_own_failure_and_not_an_earlier_one(
    person: Person, service: Service, cloud: Cloud, release: str
) -> None:
    person.run(*OPTIONS)
    assert state(service) == "CREATE_COMPLETE"
    for email, reason in ("first@work.example", "no mail to the first"), ("second@work.example", "nor to the second"):
        cloud.fail("AWS::SNS::Subscription", "InvalidParameter", message=reason)
        said = person.run(*OPTIONS, "--alarm-email", email)
        assert said.sentence().startswith(f"the stack could not be deployed: AlarmMail: {reason}")
        assert "    AlarmMail: CREATE_FAILED\n" in said.out, "what happens is told, however much has happened before"
        assert state(service) == "UPDATE_ROLLBACK_COMPLETE"
    assert parameters(service)["AlarmEmail"] == ""
    cloud.fail("CreateChangeSet", "LimitExceededException", times=9)
    sentence = person.run(*OPTIONS, "--alarm-email", "third@work.example").sentence()
    assert sentence.startswith("a quota of the account is full"), "and not what had failed before"


def test_what_a_creation_left_because_its_database_is_protected_is_removed_when_that_can_be_changed(
    person: Person, service: Service, cloud: Cloud, release: str
) -> None:
    cloud.fail("AWS::AutoScaling::AutoScalingGroup", "LimitExceeded", message="No more groups.")
    assert "Group: No more groups." in person.run(*OPTIONS).sentence()
    assert state(service) == "ROLLBACK_FAILED"
    cloud.fail("ModifyDBInstance", "InvalidDBInstanceState", message="The database is being backed up.", times=2)
    assert "not within 20 s: http://" in person.run(*OPTIONS, "--timeout", "20").sentence(), "there are no machines"
    assert state(service) == "CREATE_COMPLETE"


def public_ports(service: Service) -> dict[int, tuple[str, str]]:
    """What the public load balancer does at each of its ports: its protocol, and what becomes of a request."""
    elb = service("elbv2")
    (public,) = [one for one in elb.describe_load_balancers()["LoadBalancers"] if one["Type"] == "application"]
    listeners = elb.describe_listeners(LoadBalancerArn=public["LoadBalancerArn"])["Listeners"]
    return {one["Port"]: (one["Protocol"], one["DefaultActions"][0]["Type"]) for one in listeners}


def test_a_certificate_can_be_given_and_taken_from_what_runs(
    person: Person, service: Service, release: str, tmp_path: Path
) -> None:
    certificate = issued(service, "work.example", tmp_path)
    plain = {80: ("HTTP", "forward")}
    person.run(*OPTIONS)
    assert public_ports(service) == plain
    person.run("--region", REGION, "--timeout", "1", "--certificate", certificate)
    assert public_ports(service) == {80: ("HTTP", "redirect"), 443: ("HTTPS", "forward")}
    assert (tmp_path / "asked").read_text().splitlines()[-1].endswith("https://work.example/readyz")
    person.run(*OPTIONS)
    assert public_ports(service) == plain
    assert state(service) == "UPDATE_COMPLETE"


def test_what_an_interrupt_finds_not_begun_is_not_done(
    person: Person, service: Service, cloud: Cloud, release: str
) -> None:
    cloud.fail("CreateChangeSet", delay_s=6.0)
    asked, done = cloud.calls("CreateChangeSet"), cloud.calls("ExecuteChangeSet")
    script = subprocess.Popen(
        [INIT, *OPTIONS], env=person.environment, start_new_session=True, stdin=subprocess.DEVNULL
    )
    wait_until(lambda: cloud.calls("CreateChangeSet") > asked, "the stack is about to be made", 60.0)
    os.killpg(script.pid, signal.SIGINT)
    assert script.wait(timeout=30) != 0
    wait_until(lambda: service("cloudformation").describe_stacks()["Stacks"], "what was asked for is there", 30.0)
    time.sleep(6.0)
    assert cloud.calls("ExecuteChangeSet") == done


def test_a_removal_asks_goes_on_after_it_was_ended_early_and_leaves_nothing(
    person: Person, service: Service, release: str
) -> None:
    before = contents(service)
    person.run(*OPTIONS)
    assert service_roles(service) >= {
        f"AWSServiceRoleFor{name}" for name in ("EC2Spot", "AutoScaling", "ElasticLoadBalancing", "RDS")
    }
    assert "without a terminal to ask at, say --yes" in person.run(*OPTIONS, "--destroy").sentence()
    assert state(service) == "CREATE_COMPLETE"

    name = group(service, "orchestrator")["AutoScalingGroupName"]
    service("autoscaling").update_auto_scaling_group(AutoScalingGroupName=name, MinSize=0, DesiredCapacity=0)
    (database,) = service("rds").describe_db_instances()["DBInstances"]
    service("rds").modify_db_instance(DBInstanceIdentifier=database["DBInstanceIdentifier"], DeletionProtection=False)
    assert "not within 1 s: http://" in person.run(*OPTIONS).sentence(), "it was ended early, and is wanted again"
    sizes = {role: group(service, role) for role in ("orchestrator", "api")}
    assert {role: (one["MinSize"], one["DesiredCapacity"]) for role, one in sizes.items()} == {
        "orchestrator": (1, 1),
        "api": (2, 2),
    }
    (database,) = service("rds").describe_db_instances()["DBInstances"]
    assert database["DeletionProtection"]

    mark = [{"Key": "dynwork:stack", "Value": "dynwork"}]
    address = service("ec2").allocate_address(TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": mark}])
    sentence = person.run(*OPTIONS, "--destroy", "--yes").sentence()
    assert sentence == f"something is left: addresses {address['PublicIp']}; run this again"
    service("ec2").release_address(AllocationId=address["AllocationId"])

    mark.append({"Key": "dynwork:role", "Value": "worker"})
    service("ec2").run_instances(MinCount=1, MaxCount=1, TagSpecifications=[{"ResourceType": "instance", "Tags": mark}])
    said = person.run(*OPTIONS, "--timeout", "60", "--destroy", "--yes")
    assert (said.code, said.errors) == (0, [])
    assert "==> ending 1 workers" in said.out, "whatever became of its stack"
    assert said.out.splitlines()[-1].startswith("==> nothing of 'dynwork' is left in eu-central-1")
    assert contents(service) == before
    assert left_elsewhere(service) == []
