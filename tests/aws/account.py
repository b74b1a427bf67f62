"""What is in an account."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def contents(service: Callable[[str], Any]) -> dict[str, int]:
    """How much there is in the account, of everything that a rollout makes.

    What is gone but still listed is aside, and so are the roles of AWS's own services, which are the account's.
    """
    ec2, elb, rds, iam = (service(name) for name in ("ec2", "elbv2", "rds", "iam"))
    ended = [{"Name": "instance-state-name", "Values": ["pending", "running", "shutting-down"]}]
    lists = [
        *(ec2.describe_vpcs(), ec2.describe_subnets(), ec2.describe_route_tables(), ec2.describe_network_acls()),
        *(ec2.describe_security_groups(), ec2.describe_internet_gateways(), ec2.describe_addresses()),
        *(ec2.describe_launch_templates(), ec2.describe_network_interfaces(), ec2.describe_volumes()),
        *(ec2.describe_vpc_endpoints(), ec2.describe_instances(Filters=ended)),
        ec2.describe_nat_gateways(Filter=[{"Name": "state", "Values": ["pending", "available", "deleting"]}]),
        *(elb.describe_load_balancers(), elb.describe_target_groups(), rds.describe_db_instances()),
        *(rds.describe_db_subnet_groups(), rds.describe_db_snapshots(), iam.list_roles(), iam.list_instance_profiles()),
        *(iam.list_policies(Scope="Local"), service("logs").describe_log_groups(), service("sns").list_topics()),
        *(service("sns").list_subscriptions(), service("autoscaling").describe_auto_scaling_groups()),
        *(service("cloudwatch").describe_alarms(), service("cloudformation").describe_stacks()),
    ]
    counts = {name: len(found) for one in lists for name, found in one.items() if isinstance(found, list)}
    return {**counts, "Roles": counts["Roles"] - len(iam.list_roles(PathPrefix="/aws-service-role/")["Roles"])}


def left_elsewhere(service: Callable[[str], Any]) -> list[str]:
    """What there is of dynwork's outside of a stack: secrets and buckets."""
    parameters = [one["Name"] for one in service("ssm").describe_parameters()["Parameters"]]
    buckets = [one["Name"] for one in service("s3").list_buckets()["Buckets"]]
    return [*buckets, *(name for name in parameters if name.startswith("/dynwork/"))]
