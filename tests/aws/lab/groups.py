"""Auto Scaling groups as they are on AWS: each has as many machines as it wants, again and again compared.

Moto launches from the first version of the template into the first subnet, forgets what has ended by itself, and ends
without a pause. Here a look at a group (:meth:`Groups.keep`) brings every member as far as its machine is, replaces
the unhealthy and those that have ended, once each, and launches or ends what is too few or too many. A member that is
to end leaves its target groups first, and goes when it has drained.
"""

from __future__ import annotations

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import (
    ASG_NAME_TAG,
    AutoScalingBackend,
    FakeAutoScalingGroup,
    InstanceState,
    TerminateInstanceActivity,
    autoscaling_backends,
)
from moto.core.models import DEFAULT_ACCOUNT_ID
from tests.aws.lab.machines import ENDING, PENDING, RUNNING, TERMINATED, Machines, as_method
from tests.aws.lab.targets import Targets
from tests.aws.lab.watcher import Watcher

from dynwork.testing.waiting import wait_until

KEEP_S, EMPTY_S_MAX = 0.1, 30.0
MEMBER_OF = {PENDING[0]: "Pending", RUNNING[0]: "InService"}


class Groups(Watcher):
    """The groups of the account, which are kept to their size."""

    def __init__(self, machines: Machines, targets: Targets) -> None:
        super().__init__("groups")
        self._machines = machines
        self._targets = targets

    def fill(self) -> None:
        """Let moto's groups be these."""
        FakeAutoScalingGroup.set_desired_capacity = as_method(self._want)
        InstanceState.launch_template = property(lambda member: member.launched_from)
        AutoScalingBackend.set_desired_capacity = as_method(self._set_desired)
        AutoScalingBackend.terminate_instance = as_method(self._terminate)
        AutoScalingBackend.delete_auto_scaling_group = as_method(self._delete)
        AutoScalingBackend.update_attached_target_groups = lambda *_: None
        AutoScalingBackend.notify_terminate_instances = lambda *_: None

    def watch(self) -> None:
        """See :meth:`Watcher.watch`."""
        while not self.stop.wait(KEEP_S):
            for backend in list(autoscaling_backends[DEFAULT_ACCOUNT_ID].values()):
                for group in list(backend.autoscaling_groups.values()):
                    self.keep(group)

    def keep(self, group: FakeAutoScalingGroup) -> None:
        """Bring a group closer to what it is to be."""
        with self._machines.lock:
            for member in list(group.instance_states):
                self._follow(group, member)
            staying = [member for member in group.instance_states if member.lifecycle_state != "Terminating"]
            suspended = {process["ProcessName"] for process in group.suspended_processes}
            if "Launch" not in suspended:
                for _ in range(group.desired_capacity - len(staying)):
                    self._launch(group)
            if "Terminate" not in suspended:
                for member in sorted(staying, key=_oldest_first)[: max(0, len(staying) - group.desired_capacity)]:
                    self._let_go(group, member)

    def _follow(self, group: FakeAutoScalingGroup, member: InstanceState) -> None:
        state, now = member.instance._state.name, self._machines.clock.monotonic()
        if state == TERMINATED[0]:
            self._targets.leave(group.target_group_arns, member.instance.id)
            group.instance_states.remove(member)
        elif member.lifecycle_state == "Terminating":
            if now >= member.goes_at:
                self._machines.end(member.instance)
        elif state not in MEMBER_OF or self._is_unhealthy(group, member, now):
            member.health_status = "Unhealthy"
            self._let_go(group, member)
        elif member.lifecycle_state != MEMBER_OF[state]:
            member.lifecycle_state, member.serves_from = MEMBER_OF[state], now
            if state == RUNNING[0]:
                self._targets.join(group.target_group_arns, member.instance.id)

    def _is_unhealthy(self, group: FakeAutoScalingGroup, member: InstanceState, now: float) -> bool:
        if member.health_status == "Unhealthy":
            return True
        if group.health_check_type != "ELB" or member.lifecycle_state != "InService":
            return False
        graced_until = member.serves_from + (group.health_check_grace_period or 0) * self._machines.delays.grace_pace
        return now >= graced_until and self._targets.is_unhealthy(group.target_group_arns, member.instance.id)

    def _let_go(self, group: FakeAutoScalingGroup, member: InstanceState) -> None:
        member.lifecycle_state = "Terminating"
        drains_s = self._targets.leave(group.target_group_arns, member.instance.id)
        if member.instance._state.name not in MEMBER_OF:
            drains_s = 0.0
        member.goes_at = self._machines.clock.monotonic() + drains_s
        if not drains_s:
            self._machines.end(member.instance)

    def _launch(self, group: FakeAutoScalingGroup) -> None:
        version = group.ec2_launch_template.get_version(group.launch_template_version)
        subnet = _emptiest(group)
        template = {"LaunchTemplateId": group.ec2_launch_template.id, "Version": str(version.number)}
        reservation = group.ec2_backend.run_instances(
            version.image_id,
            1,
            None,
            [],
            instance_type=version.instance_type,
            is_instance_type_default=False,
            launch_template=template,
            placement=group.ec2_backend.get_subnet(subnet).availability_zone,
            subnet_id=subnet,
            tags={"instance": {**version.instance_tags, **group.get_propagated_tags(), ASG_NAME_TAG: group.name}},
        )
        (instance,) = reservation.instances
        instance.autoscaling_group = group
        self._machines.begin(instance, version.data)
        member = InstanceState(instance, "Pending")
        member.launched_from = {**template, "LaunchTemplateName": group.ec2_launch_template.name}
        group.instance_states.append(member)
        self._follow(group, member)

    def _want(self, group: FakeAutoScalingGroup, capacity: int | None) -> None:
        group.desired_capacity = group.min_size if capacity is None else capacity
        self.keep(group)

    def _set_desired(self, backend: AutoScalingBackend, name: str, capacity: int) -> None:
        group = backend.autoscaling_groups[name]
        if capacity > group.max_size:
            message = f"New SetDesiredCapacity value {capacity} is above max value {group.max_size}"
            raise ValidationError(f"{message} for the AutoScalingGroup.")
        if capacity < group.min_size:
            message = f"New SetDesiredCapacity value {capacity} is below min value {group.min_size}"
            raise ValidationError(f"{message} for the AutoScalingGroup.")
        self._want(group, capacity)

    def _terminate(self, backend: AutoScalingBackend, instance_id: str, decrement: bool) -> TerminateInstanceActivity:
        with self._machines.lock:
            every = [(group, one) for group in backend.autoscaling_groups.values() for one in group.instance_states]
            group, member = next(((group, one) for group, one in every if one.instance.id == instance_id), (None, None))
            if group is None or member is None:
                raise ValidationError(
                    f"Instance Id not found - No managed instance found for instance ID {instance_id}"
                )
            before = group.desired_capacity
            if decrement and before <= group.min_size:
                message = f"Currently, desiredSize equals minSize ({before}). Terminating instance without replacement"
                raise ValidationError(f"{message} will violate group's min size constraint.")
            group.desired_capacity = before - int(decrement)
            if member.lifecycle_state != "Terminating":
                self._let_go(group, member)
            self.keep(group)
            return TerminateInstanceActivity(member.instance, before)

    def _delete(self, backend: AutoScalingBackend, name: str) -> None:
        """Return when the last machine is off: only then can its network go."""
        group = backend.autoscaling_groups.get(name)
        if group is None:
            raise ValidationError(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
        with self._machines.lock:
            group.min_size = group.desired_capacity = 0
            for member in group.instance_states:
                member.lifecycle_state, member.goes_at = "Terminating", 0.0
                self._targets.leave(group.target_group_arns, member.instance.id)

        def empty() -> bool:
            self.keep(group)
            return len(group.instance_states) == 0

        wait_until(empty, f"no machine of {name} is left", EMPTY_S_MAX)
        backend.autoscaling_groups.pop(name, None)


def _oldest_first(member: InstanceState) -> tuple[bool, int, str]:
    """Who goes first when there are too many: the unhealthy, then those of the oldest version of the template."""
    return member.health_status == "Healthy", int(member.launched_from["Version"]), member.instance.launch_time


def _emptiest(group: FakeAutoScalingGroup) -> str:
    """The subnet with the fewest of its machines."""
    taken = [one.instance.subnet_id for one in group.instance_states if one.instance._state.name not in ENDING]
    subnets: list[str] = group.vpc_zone_identifier.split(",")
    return min(subnets, key=lambda subnet: (taken.count(subnet), subnets.index(subnet)))
