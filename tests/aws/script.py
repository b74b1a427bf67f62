"""Somebody who runs scripts/init.sh in a cloud without machines, and what they look at there."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.aws.lab.image import ROOT

Service = Callable[[str], Any]
REGION, ACCOUNT = "eu-central-1", "123456789012"
OPTIONS = ("--region", REGION, "--insecure-http", "--timeout", "1")
INIT = ROOT / "scripts" / "init.sh"
SECRETS = [
    f"/dynwork/dynwork/{name}" for name in ("api-token", "worker-token", "database-password", "admin-key", "api-keys")
]
NOBODY = "http://127.0.0.1:9"


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    out: str
    errors: list[str]

    def sentence(self, code: int = 1) -> str:
        """What it says when it ends so: one line, on its error stream."""
        assert self.code == code, self
        (line,) = self.errors
        assert line.startswith("init.sh: "), line
        return line.removeprefix("init.sh: ")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with the script, the AWS CLI, and credentials or not."""

    environment: dict[str, str]

    def run(self, *options: str, **environment: str) -> Said:
        """Run the script; an empty value takes a variable out of its environment."""
        merged = {**self.environment, **environment}
        done = subprocess.run(
            [INIT, *options],
            env={name: value for name, value in merged.items() if value},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=200,
        )
        return Said(done.returncode, done.stdout, done.stderr.splitlines())


def empty(service: Service) -> None:
    """Let nothing be left of what a run has made in the cloud."""
    for database in service("rds").describe_db_instances()["DBInstances"]:
        service("rds").modify_db_instance(
            DBInstanceIdentifier=database["DBInstanceIdentifier"], DeletionProtection=False
        )
    for stack in service("cloudformation").describe_stacks()["Stacks"]:
        service("cloudformation").delete_stack(StackName=stack["StackName"])
    for name in SECRETS:
        service("ssm").put_parameter(Name=name, Value="a", Type="SecureString", Overwrite=True)
    service("ssm").delete_parameters(Names=SECRETS)
    for bucket in service("s3").list_buckets()["Buckets"]:
        for one in service("s3").list_objects_v2(Bucket=bucket["Name"]).get("Contents", []):
            service("s3").delete_object(Bucket=bucket["Name"], Key=one["Key"])
        service("s3").delete_bucket(Bucket=bucket["Name"])
    for role in service_roles(service):
        service("iam").delete_service_linked_role(RoleName=role)


def issued(service: Service, name: str, folder: Path) -> str:
    """Return the ARN of a certificate for a name."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    call = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    subprocess.run([*call, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    imported = service("acm").import_certificate(Certificate=certificate.read_bytes(), PrivateKey=key.read_bytes())
    return str(imported["CertificateArn"])


def state(service: Service) -> str:
    return str(service("cloudformation").describe_stacks(StackName="dynwork")["Stacks"][0]["StackStatus"])


def parameters(service: Service) -> dict[str, str]:
    (stack,) = service("cloudformation").describe_stacks(StackName="dynwork")["Stacks"]
    return {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}


def service_roles(service: Service) -> set[str]:
    return {one["RoleName"] for one in service("iam").list_roles(PathPrefix="/aws-service-role/")["Roles"]}


def group(service: Service, role: str) -> dict[str, Any]:
    groups = service("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    (found,) = [
        one for one in groups if {"dynwork:role": role}.items() <= {t["Key"]: t["Value"] for t in one["Tags"]}.items()
    ]
    return dict(found)
