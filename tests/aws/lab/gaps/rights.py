"""Roles and policies: moto attaches, changes and removes less of them than it should."""

from __future__ import annotations

import json
from typing import Any

from moto.iam.models import SERVICE_NAME_CONVERSION, iam_backends
from tests.aws.lab.gaps.place import Place, Properties

# Moto calls the role of a service that it does not know by the service.
SERVICE_NAME_CONVERSION.update({"spot": "EC2Spot", "elasticloadbalancing": "ElasticLoadBalancing", "rds": "RDS"})


def make_role(name: str, properties: Properties, place: Place) -> Any:
    """Moto attaches no managed policy."""
    name = properties.get("RoleName", name)
    role = place.of(iam_backends).create_role(
        role_name=name,
        assume_role_policy_document=json.dumps(properties["AssumeRolePolicyDocument"]),
        path=properties.get("Path", "/"),
        permissions_boundary="",
        description=properties.get("Description", ""),
        tags=properties.get("Tags", []),
        max_session_duration=3600,
    )
    return change_role(role, properties, place)


def change_role(role: Any, properties: Properties, place: Place) -> Any:
    """Moto leaves its policies as they were."""
    backend = place.of(iam_backends)
    role.policies = {one["PolicyName"]: json.dumps(one["PolicyDocument"]) for one in properties.get("Policies", ())}
    wanted = properties.get("ManagedPolicyArns", [])
    for arn in [arn for arn in role.managed_policies if arn not in wanted]:
        backend.detach_role_policy(arn, role.name)
    for arn in wanted:
        backend.attach_role_policy(arn, role.name)
    return role


def remove_role(role: Any, place: Place) -> None:
    """Moto wants it to be bare."""
    backend = place.of(iam_backends)
    for arn in list(role.managed_policies):
        backend.detach_role_policy(arn, role.name)
    role.policies.clear()
    backend.delete_role(role.name)


def change_policy(policy: Any, properties: Properties, place: Place) -> Any:
    """Moto cannot."""
    backend = place.of(iam_backends)
    for version in [version for version in policy.versions if not version.is_default]:
        backend.delete_policy_version(policy.arn, version.version_id)
    backend.create_policy_version(policy.arn, json.dumps(properties["PolicyDocument"]), "true")
    return policy


def remove_policy(policy: Any, place: Place) -> None:
    """Moto leaves it."""
    place.of(iam_backends).delete_policy(policy.arn)
