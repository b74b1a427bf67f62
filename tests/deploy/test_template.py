"""deploy/aws/dynwork.yaml: every right and every open port is one that is needed, and no other is there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from tests.deploy.iam import allows, listed, statements
from tests.deploy.template import ACCOUNT, FILE, REGION, STACK, Template

from dynwork.api.enqueue import PATIENCE
from dynwork.api.events import SILENT_S_MAX
from dynwork.api.tail import WAIT_S_MAX
from dynwork.serving import KEEP_ALIVE_S
from dynwork.settings import ApiSettings, OrchestratorSettings
from dynwork.settings.base import split

PLAIN = Template()
HA = Template(
    HighAvailability="true", CertificateArn="arn:aws:acm:eu-central-1:1:certificate/1", AlarmEmail="a@b.example"
)
BOTH = pytest.mark.parametrize("template", [PLAIN, HA], ids=["plain", "ha"])
ROLES = ("ApiRole", "OrchestratorRole", "WorkerRole")


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


INSTANCE, VOLUME, INTERFACE = (arn("ec2", f"{kind}/x-1") for kind in ("instance", "volume", "network-interface"))
TEMPLATE = arn("ec2", "launch-template/WorkerTemplate")


def parameter(name: str) -> str:
    return arn("ssm", f"parameter/dynwork/{STACK}/{name}")


def test_cfn_lint_finds_nothing() -> None:
    linted = subprocess.run([Path(sys.executable).with_name("cfn-lint"), FILE], capture_output=True, text=True)
    assert (linted.returncode, linted.stdout) == (0, "")


def test_the_command_line_takes_it_without_a_bucket() -> None:
    assert len(FILE.read_bytes()) < 51_200


# -- ports ------------------------------------------------------------------------------------------------------------
@BOTH
def test_only_the_public_load_balancer_is_open_to_the_world_and_each_port_to_those_who_need_it(
    template: Template,
) -> None:
    ways = {
        (group, way.get("CidrIp") or way["SourceSecurityGroupId"], way["IpProtocol"], way["FromPort"], way["ToPort"])
        for group, properties in template.of_type("AWS::EC2::SecurityGroup").items()
        for way in properties.get("SecurityGroupIngress", ())
    }
    assert ways == {
        ("PublicBalancerFirewall", "0.0.0.0/0", "tcp", 80, 80),
        ("PublicBalancerFirewall", "0.0.0.0/0", "tcp", 443, 443),
        ("ApiFirewall", "PublicBalancerFirewall", "tcp", 8000, 8000),
        ("SeedFirewall", "ApiFirewall", "tcp", 8100, 8100),
        ("SeedFirewall", "WorkerFirewall", "tcp", 8100, 8100),
        ("OrchestratorFirewall", "SeedFirewall", "tcp", 8100, 8100),
        ("OrchestratorFirewall", "ApiFirewall", "tcp", 8100, 8100),
        ("OrchestratorFirewall", "WorkerFirewall", "tcp", 8100, 8100),
        ("DatabaseFirewall", "OrchestratorFirewall", "tcp", 5432, 5432),
    }
    assert not template.of_type("AWS::EC2::SecurityGroupIngress"), "no other way in is added elsewhere"


@BOTH
def test_every_machine_and_the_database_are_in_private_subnets_and_have_their_firewall(template: Template) -> None:
    routed = {
        one["SubnetId"]: one["RouteTableId"]
        for one in template.of_type("AWS::EC2::SubnetRouteTableAssociation").values()
    }
    public = {
        one["RouteTableId"] for one in template.of_type("AWS::EC2::Route").values() if one.get("GatewayId") == "Gateway"
    }
    private = {subnet for subnet, table in routed.items() if table not in public}
    assert private == {"PrivateA", "PrivateB"}
    for group in template.of_type("AWS::AutoScaling::AutoScalingGroup").values():
        assert set(group["VPCZoneIdentifier"]) == private
    database = template.resources["Database"]["Properties"]
    assert (database["PubliclyAccessible"], database["VPCSecurityGroups"]) == (False, ["DatabaseFirewall"])
    assert set(template.resources["DatabaseSubnets"]["Properties"]["SubnetIds"]) == private
    assert template.resources["Seed"]["Properties"]["Scheme"] == "internal"
    assert {
        name: one["LaunchTemplateData"]["SecurityGroupIds"]
        for name, one in template.of_type("AWS::EC2::LaunchTemplate").items()
    } == {
        "ApiTemplate": ["ApiFirewall"],
        "OrchestratorTemplate": ["OrchestratorFirewall"],
        "WorkerTemplate": ["WorkerFirewall"],
    }


@BOTH
def test_with_a_certificate_nothing_but_a_redirect_is_served_in_clear(template: Template) -> None:
    served = {
        (one["Protocol"], one["DefaultActions"][0]["Type"])
        for one in template.of_type("AWS::ElasticLoadBalancingV2::Listener").values()
        if one["LoadBalancerArn"] == "PublicBalancer"
    }
    assert served == ({("HTTP", "forward")} if template is PLAIN else {("HTTP", "redirect"), ("HTTPS", "forward")})


def test_a_port_of_a_load_balancer_is_one_resource_with_and_without_a_certificate() -> None:
    """CloudFormation makes what is new before it removes what is old, and two listeners cannot have one port."""
    names = {
        (one["LoadBalancerArn"], one["Port"], name)
        for template in (PLAIN, HA)
        for name, one in template.of_type("AWS::ElasticLoadBalancingV2::Listener").items()
    }
    assert len({(balancer, port) for balancer, port, _ in names}) == len(names)


@BOTH
def test_the_load_balancer_closes_an_idle_connection_before_an_api_does_and_waits_longer_than_any_answer_takes(
    template: Template,
) -> None:
    attributes = template.resources["PublicBalancer"]["Properties"]["LoadBalancerAttributes"]
    (idle_s,) = [int(one["Value"]) for one in attributes if one["Key"] == "idle_timeout.timeout_seconds"]
    assert max(WAIT_S_MAX, SILENT_S_MAX, PATIENCE.still_s_max) < idle_s < KEEP_ALIVE_S


# -- rights -----------------------------------------------------------------------------------------------------------
NEEDED: Mapping[str, list[tuple[str, str, dict[str, str]]]] = {
    "ApiRole": [
        ("ssm:GetParameter", parameter("api-keys"), {}),
        ("ssm:GetParameter", parameter("api-token"), {}),
        ("logs:PutLogEvents", "Logs.Arn", {}),
    ],
    "OrchestratorRole": [
        ("ssm:GetParameter", parameter("api-token"), {}),
        ("ssm:GetParameter", parameter("worker-token"), {}),
        ("ssm:GetParameter", parameter("database-password"), {}),
        ("logs:PutLogEvents", "Logs.Arn", {}),
        ("ec2:RunInstances", INSTANCE, {"ec2__LaunchTemplate": TEMPLATE, "aws__RequestTag/dynwork__stack": STACK}),
        ("ec2:RunInstances", VOLUME, {"ec2__LaunchTemplate": TEMPLATE}),
        ("ec2:RunInstances", INTERFACE, {"ec2__LaunchTemplate": TEMPLATE}),
        ("ec2:RunInstances", TEMPLATE, {}),
        ("ec2:RunInstances", arn("ec2", "security-group/WorkerFirewall"), {}),
        ("ec2:RunInstances", arn("ec2", "subnet/PrivateA"), {}),
        ("ec2:RunInstances", arn("ec2", "subnet/PrivateB"), {}),
        ("ec2:RunInstances", arn("ec2", "spot-instances-request/sir-1"), {}),
        ("ec2:RunInstances", f"arn:aws:ec2:{REGION}::image/ami-1", {"ec2__Owner": "amazon"}),
        ("ec2:RunInstances", f"arn:aws:ec2:{REGION}::image/ami-0", {"ec2__Owner": "amazon"}),
        ("ec2:CreateTags", INSTANCE, {"ec2__CreateAction": "RunInstances"}),
        ("ec2:CreateTags", VOLUME, {"ec2__CreateAction": "RunInstances"}),
        ("iam:PassRole", "WorkerRole.Arn", {"iam__PassedToService": "ec2.amazonaws.com"}),
        (
            "ec2:TerminateInstances",
            INSTANCE,
            {"aws__ResourceTag/dynwork__stack": STACK, "aws__ResourceTag/dynwork__role": "worker"},
        ),
        ("ec2:DescribeInstances", "*", {}),
    ],
    "WorkerRole": [("ssm:GetParameter", parameter("worker-token"), {})],
}
"""What each role does: the calls of boot.sh, of the boot script of workers, and of the fleet."""
RELEASE = [
    ("s3:GetObject", "arn:aws:s3:::bucket/releases/1/SHA256SUMS", {}),
    ("s3:ListBucket", "arn:aws:s3:::bucket", {"s3__prefix": "releases/1/"}),
]
LOGS = {"logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"}
SHELL = {
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
}
"""What Session Manager asks for."""


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_what_it_needs_to(role: str) -> None:
    for action, resource, context in NEEDED[role] + RELEASE:
        assert allows(PLAIN, role, action, resource, **context), (action, resource)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_nothing_else(role: str) -> None:
    """Each action is a needed one, and the resources of each are those that are needed and no more."""
    given = {action for one in statements(PLAIN, role) for action in listed(one["Action"])}
    needed = {action for action, _, _ in NEEDED[role] + RELEASE}
    more = set() if role == "WorkerRole" else LOGS | SHELL
    assert given == needed | more
    assert not [action for action in given if "*" in action]


NOT_ALLOWED: list[tuple[str, str, str, dict[str, str]]] = [
    ("WorkerRole", "ssm:GetParameter", parameter("api-token"), {}),
    ("WorkerRole", "ssm:GetParameter", parameter("database-password"), {}),
    ("WorkerRole", "ssm:GetParameter", arn("ssm", "parameter/dynwork/other/worker-token"), {}),
    ("WorkerRole", "s3:GetObject", "arn:aws:s3:::bucket/other", {}),
    ("WorkerRole", "s3:GetObject", "arn:aws:s3:::another/releases/1", {}),
    ("WorkerRole", "s3:ListBucket", "arn:aws:s3:::bucket", {}),
    ("ApiRole", "ssm:GetParameter", parameter("worker-token"), {}),
    ("ApiRole", "ssm:GetParameter", parameter("database-password"), {}),
    ("ApiRole", "ssm:GetParameter", parameter("admin-key"), {}),
    ("OrchestratorRole", "ssm:GetParameter", parameter("api-keys"), {}),
    ("OrchestratorRole", "ssm:GetParameter", parameter("admin-key"), {}),
    ("OrchestratorRole", "ec2:RunInstances", INSTANCE, {}),
    ("OrchestratorRole", "ec2:RunInstances", INSTANCE, {"aws__RequestTag/dynwork__stack": STACK}),
    ("OrchestratorRole", "ec2:RunInstances", INSTANCE, {"ec2__LaunchTemplate": TEMPLATE}),
    (
        "OrchestratorRole",
        "ec2:RunInstances",
        INSTANCE,
        {"ec2__LaunchTemplate": TEMPLATE, "aws__RequestTag/dynwork__stack": "other"},
    ),
    ("OrchestratorRole", "ec2:RunInstances", VOLUME, {"ec2__LaunchTemplate": arn("ec2", "launch-template/other")}),
    ("OrchestratorRole", "ec2:RunInstances", arn("ec2", "subnet/PublicA"), {}),
    ("OrchestratorRole", "ec2:RunInstances", arn("ec2", "security-group/DatabaseFirewall"), {}),
    ("OrchestratorRole", "ec2:RunInstances", f"arn:aws:ec2:{REGION}::image/ami-1", {}),
    ("OrchestratorRole", "ec2:RunInstances", f"arn:aws:ec2:{REGION}::image/ami-1", {"ec2__Owner": ACCOUNT}),
    ("OrchestratorRole", "ec2:TerminateInstances", INSTANCE, {}),
    ("OrchestratorRole", "ec2:TerminateInstances", INSTANCE, {"aws__ResourceTag/dynwork__stack": STACK}),
    (
        "OrchestratorRole",
        "ec2:TerminateInstances",
        INSTANCE,
        {"aws__ResourceTag/dynwork__stack": "other", "aws__ResourceTag/dynwork__role": "worker"},
    ),
    ("OrchestratorRole", "ec2:CreateTags", INSTANCE, {}),
    ("OrchestratorRole", "ec2:CreateTags", INSTANCE, {"ec2__CreateAction": "CreateVolume"}),
    ("OrchestratorRole", "iam:PassRole", "OrchestratorRole.Arn", {"iam__PassedToService": "ec2.amazonaws.com"}),
    ("OrchestratorRole", "iam:PassRole", "WorkerRole.Arn", {"iam__PassedToService": "lambda.amazonaws.com"}),
    *[(role, "s3:PutObject", "arn:aws:s3:::bucket/releases/1/SHA256SUMS", {}) for role in ROLES],
]


@pytest.mark.parametrize(("role", "action", "resource", "context"), NOT_ALLOWED)
def test_what_a_role_has_no_use_for_is_not_permitted(
    role: str, action: str, resource: str, context: dict[str, str]
) -> None:
    assert not allows(PLAIN, role, action, resource, **context)


def test_no_role_takes_a_policy_from_elsewhere_and_only_machines_may_have_one() -> None:
    for role in PLAIN.of_type("AWS::IAM::Role").values():
        assert set(role["ManagedPolicyArns"]) <= {"ReadRelease", "OpenShell"}
        assert role["AssumeRolePolicyDocument"]["Statement"] == [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ]
    assert set(PLAIN.of_type("AWS::IAM::Role")) == set(ROLES)


def test_a_resource_that_is_any_says_why() -> None:
    lines = [line for line in PLAIN.text.splitlines() if re.search(r'Resource: "\*"', line)]
    assert lines
    assert [
        line for line in lines if not re.search("# (this action has|these actions have) no narrower resource", line)
    ] == []


# -- machines ---------------------------------------------------------------------------------------------------------
@BOTH
def test_metadata_by_tokens_encrypted_disks_and_no_key_pair(template: Template) -> None:
    for name, properties in template.of_type("AWS::EC2::LaunchTemplate").items():
        data = properties["LaunchTemplateData"]
        assert data["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}, name
        assert [disk["Ebs"]["Encrypted"] for disk in data["BlockDeviceMappings"]] == [True], name
        assert "KeyName" not in data, name


@BOTH
def test_how_many_there_are(template: Template) -> None:
    groups = template.of_type("AWS::AutoScaling::AutoScalingGroup")
    assert {name: one["MinSize"] for name, one in groups.items()} == {
        "ApiGroup": "2",
        "OrchestratorGroup": "2" if template is HA else "1",
    }
    assert all(one["HealthCheckType"] == "ELB" and int(one["MaxSize"]) > int(one["MinSize"]) for one in groups.values())
    assert len(template.of_type("AWS::EC2::NatGateway")) == (2 if template is HA else 1)


@BOTH
def test_the_database_is_encrypted_backed_up_and_not_deleted_by_mistake(template: Template) -> None:
    database = template.resources["Database"]["Properties"]
    assert database["StorageEncrypted"] is True
    assert database["DeletionProtection"] is True
    assert database["BackupRetentionPeriod"] >= 7
    assert database["MultiAZ"] == ("true" if template is HA else "false")
    assert database["MasterUserPassword"].startswith("{{resolve:ssm-secure:"), "it is in nobody's parameters"


def user_data(template: Template, name: str) -> str:
    text: str = template.resources[name]["Properties"]["LaunchTemplateData"]["UserData"]
    return text


def settings_of(text: str) -> dict[str, Any]:
    """The settings in user data, as the role reads them; what is in braces is put in."""
    (block,) = re.findall(r"<<'SETTINGS'\n(.*?)SETTINGS\n", text, re.DOTALL)
    pairs = [line.strip().split("=", 1) for line in block.splitlines()]
    return {name.removeprefix("DYNWORK_").lower(): re.sub(r"\{[^}]*\}", "x-" + name, value) for name, value in pairs}


@BOTH
@pytest.mark.parametrize(
    ("name", "role", "model"),
    [("ApiTemplate", "api", ApiSettings), ("OrchestratorTemplate", "orchestrator", OrchestratorSettings)],
)
def test_user_data_are_a_script_whose_settings_the_role_takes(
    template: Template, name: str, role: str, model: type[ApiSettings | OrchestratorSettings]
) -> None:
    script = user_data(template, name)
    assert subprocess.run(["bash", "-n"], input=script.encode(), capture_output=True).returncode == 0
    assert len(script.encode()) < 16_384
    assert f"bash boot.sh {role} " in script
    said = settings_of(script)
    if role == "api":
        said["api_keys"] = "team:0123456789abcdef0123456789abcdef"
    assert said.keys() <= model.model_fields.keys(), "every name is one that the role knows"
    settings = model.model_validate(said)
    assert all(said.values()), "none is empty"
    assert isinstance(settings.api_token, SecretStr)


def test_the_fleet_of_the_user_data_is_the_one_that_the_rights_are_for() -> None:
    said = settings_of(user_data(PLAIN, "OrchestratorTemplate"))
    settings = OrchestratorSettings.model_validate(said)
    assert settings.ec2_template == "WorkerTemplate:WorkerTemplate.LatestVersionNumber"
    assert settings.ec2_subnets == ("PrivateA", "PrivateB")
    assert settings.ec2_tags_by_key == {
        "dynwork:stack": STACK,
        "dynwork:role": "worker",
        "dynwork:release": "releases/1",
        "dynwork:image": "ami-1",
    }
    assert settings.ec2_release == f"s3://{split('bucket')[0]}/releases/1"  # type: ignore[index]
    assert settings.ec2_worker_secret == f"/dynwork/{STACK}/worker-token"
    assert (settings.fleet_min, settings.fleet_max) == (1, 4)


def test_no_secret_is_in_the_template() -> None:
    """Only where one lies."""
    for name in ("ApiTemplate", "OrchestratorTemplate"):
        for line in user_data(PLAIN, name).splitlines():
            if re.search(r"TOKEN|KEYS|STORE_URL", line):
                assert re.search(rf"\{{/dynwork/{STACK}/[a-z-]+\}}", line), line
    assert not any("NoEcho" in line for line in PLAIN.text.splitlines())
