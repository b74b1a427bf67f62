"""The targets of load balancers: who is behind one, since when, and how it fares there.

Moto takes everyone for healthy who is registered. Here that is so until a load balancer looks (:meth:`Targets.tell`):
then a target is what its health checks say, and one that has left drains for as long as its group sets.
"""

from __future__ import annotations

from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeTargetGroup, elbv2_backends
from tests.aws.lab.machines import Machines, as_method, named

REASONS = {
    "initial": ("Elb.RegistrationInProgress", "Target registration is in progress"),
    "unhealthy": ("Target.FailedHealthChecks", "Health checks failed"),
    "draining": ("Target.DeregistrationInProgress", "Target deregistration is in progress"),
}
DELAY = "deregistration_delay.timeout_seconds"


class Targets:
    """Those of the whole account."""

    def __init__(self, machines: Machines) -> None:
        self._machines = machines
        self._health: dict[str, dict[str, str]] | None = None
        self._drained_at: dict[tuple[str, str], float] = {}

    def fill(self) -> None:
        """Let moto tell of them."""
        FakeTargetGroup.health_for = lambda group, target, _: self._status(group, target["Id"])
        ELBv2Backend.describe_target_health = as_method(self._describe)
        ELBv2Backend.deregister_targets = lambda _, arn, targets: [self.leave([arn], one["Id"]) for one in targets]

    def join(self, arns: list[str], instance_id: str) -> None:
        """Put an instance behind these target groups."""
        for group in _groups(arns):
            group.register([{"Id": instance_id}])

    def leave(self, arns: list[str], instance_id: str) -> float:
        """Let no more connections go to an instance. Return for how long it drains."""
        longest_s = 0.0
        for group in _groups(arns):
            if instance_id not in group.targets:
                continue
            group.deregister([{"Id": instance_id}])
            drains_s = float(group.attributes[DELAY]) * self._machines.delays.pace
            self._drained_at[group.arn, instance_id] = self._machines.clock.monotonic() + drains_s
            longest_s = max(longest_s, drains_s)
        return longest_s

    def is_unhealthy(self, arns: list[str], instance_id: str) -> bool:
        """Say whether one of these target groups does not want it."""
        return any((self._health or {}).get(arn, {}).get(instance_id) == "unhealthy" for arn in arns)

    def tell(self, health: dict[str, dict[str, str]]) -> None:
        """Know how the targets fare, by target group and instance."""
        self._health = health

    def shown(self) -> list[dict[str, Any]]:
        """Return every load balancer, and what a process that stands in for it has to know."""
        return [
            {
                "arn": balancer.arn,
                "name": balancer.dns_name,
                "listeners": [
                    {"port": int(listener.port), "protocol": listener.protocol, "group": self._shown_group(group)}
                    for listener in list(balancer.listeners.values())
                    for group in _groups([_forwards_to(listener)])
                ],
            }
            for backend in list(elbv2_backends[DEFAULT_ACCOUNT_ID].values())
            for balancer in list(backend.load_balancers.values())
        ]

    def _shown_group(self, group: FakeTargetGroup) -> dict[str, Any]:
        draining = [name for name in list(group.deregistered_targets) if self._drains(group, name)]
        return {
            "arn": group.arn,
            "path": group.health_check_path or "/",
            "interval_s": float(group.health_check_interval_seconds) * self._machines.delays.pace,
            "timeout_s": float(group.health_check_timeout_seconds),
            "healthy": int(group.healthy_threshold_count),
            "unhealthy": int(group.unhealthy_threshold_count),
            "targets": {name: _address(name, one, group) for name, one in list(group.targets.items())},
            "draining": draining,
        }

    def _drains(self, group: FakeTargetGroup, instance_id: str) -> bool:
        return self._drained_at.get((group.arn, instance_id), 0.0) > self._machines.clock.monotonic()

    def _describe(self, backend: ELBv2Backend, arn: str, targets: list[dict[str, Any]]) -> list[FakeHealthStatus]:
        (group,) = backend.describe_target_groups(load_balancer_arn=None, target_group_arns=[arn], names=None)
        known = [*group.targets, *(name for name in group.deregistered_targets if self._drains(group, name))]
        return [self._status(group, name) for name in ([one["Id"] for one in targets] or known)]

    def _status(self, group: FakeTargetGroup, instance_id: str) -> FakeHealthStatus:
        port = group.targets.get(instance_id, {}).get("Port", group.port)
        if instance_id not in group.targets:
            state = "draining" if self._drains(group, instance_id) else "unused"
        elif self._health is None:
            state = "healthy"
        else:
            state = self._health.get(group.arn, {}).get(instance_id, "initial")
        reason = ("Target.NotRegistered", "Target is not registered to the target group")
        why = (None, None) if state == "healthy" else REASONS.get(state, reason)
        return FakeHealthStatus(instance_id, port, group.health_check_port, state, *why)


def _groups(arns: list[str]) -> list[FakeTargetGroup]:
    every = [
        one for backend in list(elbv2_backends[DEFAULT_ACCOUNT_ID].values()) for one in backend.target_groups.items()
    ]
    return [group for arn, group in every if arn in arns]


def _forwards_to(listener: Any) -> str:
    for action in listener.default_actions:
        if action.type == "forward":
            data = action.data
            return str(data.get("TargetGroupArn") or data["ForwardConfig"]["TargetGroups"][0]["TargetGroupArn"])
    return ""


def _address(instance_id: str, target: dict[str, Any], group: FakeTargetGroup) -> tuple[str, int]:
    instance = named(instance_id)
    return instance.private_ip if instance else "", int(target.get("Port", group.port))
