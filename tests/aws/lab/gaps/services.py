"""Load balancers, groups of machines and databases: moto drops, or replaces, what counts in a rollout."""

from __future__ import annotations

from typing import Any

from moto.autoscaling.models import autoscaling_backends
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.elbv2.models import FakeTargetGroup, elbv2_backends
from moto.rds.models import rds_backends
from tests.aws.lab.gaps.place import Place, Properties


def make_balancer(name: str, properties: Properties, place: Place) -> Any:
    """Moto takes each for an application's, and forgets the attributes."""
    backend = place.of(elbv2_backends)
    balancer = backend.create_load_balancer(
        properties.get("Name", name),
        properties.get("SecurityGroups"),
        properties.get("Subnets"),
        scheme=properties.get("Scheme", "internet-facing"),
        loadbalancer_type=properties.get("Type"),
    )
    balancer.attrs.update({one["Key"]: one["Value"] for one in properties.get("LoadBalancerAttributes", ())})
    balancer.activate()
    if balancer.type == "network":
        del backend.load_balancers[balancer.arn]
        balancer.arn = balancer.arn.replace("/app/", "/net/")
        backend.load_balancers[balancer.arn] = balancer
    return balancer


def make_target_group(name: str, properties: Properties, place: Place) -> Any:
    """Moto forgets the attributes."""
    described = {"Properties": properties}
    group = FakeTargetGroup.create_from_cloudformation_json(name, described, place.account, place.region)
    group.attributes.update({one["Key"]: one["Value"] for one in properties.get("TargetGroupAttributes", ())})
    return group


def remove_target_group(group: Any, place: Place) -> None:
    """Moto leaves it."""
    place.of(elbv2_backends).delete_target_group(group.arn)


def remove_listener(listener: Any, place: Place) -> None:
    """Moto leaves it."""
    place.of(elbv2_backends).delete_listener(listener.arn)


def change_group(group: Any, properties: Properties, place: Place) -> Any:
    """Moto replaces the group and every machine in it; what runs is left as it is."""
    template = properties["LaunchTemplate"]
    place.of(autoscaling_backends).update_auto_scaling_group(
        name=group.name,
        availability_zones=[],
        desired_capacity=_number(properties.get("DesiredCapacity")),
        max_size=int(properties["MaxSize"]),
        min_size=int(properties["MinSize"]),
        launch_config_name=None,
        launch_template=template,
        vpc_zone_identifier=",".join(properties["VPCZoneIdentifier"]),
        health_check_period=_number(properties.get("HealthCheckGracePeriod")),
        health_check_type=properties.get("HealthCheckType"),
    )
    group.tags = [dict(tag) for tag in properties.get("Tags", ())]
    return group


def _number(value: str | int | None) -> int | None:
    return None if value is None else int(value)


def make_database(name: str, properties: Properties, place: Place) -> Any:
    """Moto drops the protection, the firewalls and the limit of growth, and takes every port for MySQL's."""
    group = properties.get("DBSubnetGroupName")
    settings = {
        "db_instance_identifier": properties.get("DBInstanceIdentifier", name).lower(),
        "db_name": properties.get("DBName"),
        "db_subnet_group_name": getattr(group, "name", group),
        "engine": properties["Engine"],
        "kms_key_id": properties.get("KmsKeyId"),
        "master_user_password": properties["MasterUserPassword"],
        "master_username": properties["MasterUsername"],
        "port": _number(properties.get("Port")),
        "storage_encrypted": _truth(properties.get("StorageEncrypted")),
        "tags": properties.get("Tags"),
        "vpc_security_group_ids": properties.get("VPCSecurityGroups", []),
        **_changeable(properties),
    }
    return place.of(rds_backends).create_db_instance(settings)


def change_database(database: Any, properties: Properties, place: Place) -> Any:
    """Moto cannot; its password is changed as well."""
    changes = {**_changeable(properties), "master_user_password": properties["MasterUserPassword"]}
    place.of(rds_backends).modify_db_instance(database.db_instance_identifier, changes)
    return database


def _changeable(properties: Properties) -> dict[str, Any]:
    return {
        "allocated_storage": _number(properties.get("AllocatedStorage")),
        "auto_minor_version_upgrade": _truth(properties.get("AutoMinorVersionUpgrade")),
        "backup_retention_period": _number(properties.get("BackupRetentionPeriod", 1)),
        "copy_tags_to_snapshot": _truth(properties.get("CopyTagsToSnapshot")),
        "db_instance_class": properties["DBInstanceClass"],
        "deletion_protection": _truth(properties.get("DeletionProtection")),
        "engine_version": properties.get("EngineVersion"),
        "max_allocated_storage": _number(properties.get("MaxAllocatedStorage")),
        "multi_az": _truth(properties.get("MultiAZ")),
        "publicly_accessible": _truth(properties.get("PubliclyAccessible")),
        "storage_type": properties.get("StorageType"),
    }


def databases() -> list[dict[str, Any]]:
    """Return every database there is, and what a server that stands in for it has to know."""
    return [
        {
            "name": one.endpoint["Address"],
            "user": one.master_username,
            "password": one._master_user_password,
            "database": one.db_name,
            "port": one.port,
        }
        for backend in list(rds_backends[DEFAULT_ACCOUNT_ID].values())
        for one in list(backend.databases.values())
        if one.status == "available"
    ]


def _truth(value: Any) -> bool:
    return str(value).lower() == "true"
