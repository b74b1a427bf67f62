"""What moto's CloudFormation leaves out of the resources that a rollout's template makes, put in.

By kind of resource: how it is made, changed in its place, and removed. What is not here, moto does by itself;
:mod:`tests.aws.lab.stacks` asks here first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.aws.lab.gaps import alarms, rights, services, vpc
from tests.aws.lab.gaps.place import Place, Properties

MAKE: dict[str, Callable[[str, Properties, Place], Any]] = {
    "AWS::CloudWatch::Alarm": alarms.make_alarm,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": services.make_balancer,
    "AWS::ElasticLoadBalancingV2::TargetGroup": services.make_target_group,
    "AWS::IAM::Role": rights.make_role,
    "AWS::RDS::DBInstance": services.make_database,
    "AWS::SNS::Subscription": alarms.make_subscription,
}
CHANGE: dict[str, Callable[[Any, Properties, Place], Any]] = {
    "AWS::AutoScaling::AutoScalingGroup": services.change_group,
    "AWS::CloudWatch::Alarm": alarms.change_alarm,
    "AWS::EC2::Route": vpc.change_route,
    "AWS::IAM::ManagedPolicy": rights.change_policy,
    "AWS::IAM::Role": rights.change_role,
    "AWS::RDS::DBInstance": services.change_database,
}
REMOVE: dict[str, Callable[[Any, Place], None]] = {
    "AWS::CloudWatch::Alarm": alarms.remove_alarm,
    "AWS::EC2::EIP": vpc.remove_address,
    "AWS::EC2::InternetGateway": vpc.remove_gateway,
    "AWS::EC2::NatGateway": vpc.remove_nat,
    "AWS::EC2::Route": vpc.remove_route,
    "AWS::EC2::RouteTable": vpc.remove_table,
    "AWS::EC2::SecurityGroup": vpc.remove_firewall,
    "AWS::EC2::Subnet": vpc.remove_subnet,
    "AWS::EC2::SubnetRouteTableAssociation": vpc.remove_association,
    "AWS::EC2::VPC": vpc.remove_vpc,
    "AWS::EC2::VPCEndpoint": vpc.remove_endpoint,
    "AWS::EC2::VPCGatewayAttachment": vpc.remove_attachment,
    "AWS::ElasticLoadBalancingV2::Listener": services.remove_listener,
    "AWS::ElasticLoadBalancingV2::TargetGroup": services.remove_target_group,
    "AWS::IAM::ManagedPolicy": rights.remove_policy,
    "AWS::IAM::Role": rights.remove_role,
    "AWS::SNS::Subscription": alarms.remove_subscription,
}
