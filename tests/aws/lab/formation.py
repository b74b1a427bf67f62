"""The calls of CloudFormation that a script makes, answered as AWS does; what a stack goes through is :mod:`.stacks`'.

``fill`` puts all of it into moto; it may be called again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from moto.cloudformation.exceptions import AlreadyExistsException, CloudFormationError, ValidationError
from moto.cloudformation.models import ChangeSet, CloudFormationBackend, Stack
from moto.cloudformation.parsing import ResourceMap
from moto.cloudformation.responses import CloudFormationResponse
from moto.cloudformation.utils import generate_stack_id
from moto.elbv2.models import FakeLoadBalancer, FakeTargetGroup
from tests.aws.lab import stacks
from tests.aws.lab.answers import Faults
from tests.aws.lab.templates import check

UNCHANGED = "The submitted information didn't contain changes. Submit different information to create a change set."
_create_change_set, _balancer_attribute = CloudFormationBackend.create_change_set, FakeLoadBalancer.get_cfn_attribute
_checked = {
    name: getattr(CloudFormationResponse, name) for name in ("create_stack", "create_change_set", "update_stack")
}


def fill(faults: Faults) -> None:
    """Let stacks be what scripts know from AWS; a resource that ``faults`` knows of cannot be made or changed."""
    stacks.Refusals.next = staticmethod(lambda kind: faults.next({"Action": kind}))
    CloudFormationBackend.create_stack = create_stack
    CloudFormationBackend.create_change_set = create_change_set
    CloudFormationBackend.execute_change_set = execute_change_set
    CloudFormationBackend.update_stack = update_stack
    CloudFormationBackend.delete_stack = delete_stack
    CloudFormationResponse._validate_different_update = lambda *_: None
    CloudFormationResponse._validate_status = lambda *_: None
    for name, call in _checked.items():
        setattr(CloudFormationResponse, name, _with_capabilities(call))
    Stack.stack_parameters = property(_in_force)
    Stack.parameter_list = property(_parameter_list)
    Stack.stack_resources = property(_stack_resources)
    ResourceMap.__getitem__ = _what_is_there
    FakeLoadBalancer.get_cfn_attribute = _of_a_balancer
    FakeTargetGroup.get_cfn_attribute = _of_a_target_group


def create_stack(self: CloudFormationBackend, name: str, template: str, parameters: Any, **more: Any) -> Stack:
    """Make a stack, and all that it has."""
    if any(stack.name == name for stack in self.stacks.values()):
        raise AlreadyExistsException(f"Stack [{name}] already exists")
    stack = _new(self, name, template, parameters, more)
    stacks.create(stack)
    return stack


def _new(backend: CloudFormationBackend, name: str, template: str, parameters: Any, more: dict[str, Any]) -> Stack:
    given = _strings(parameters)
    check(Stack.parse_template(template), given)
    stack_id = generate_stack_id(name, backend.region_name, backend.account_id)
    place = {"account_id": backend.account_id, "region_name": backend.region_name}
    stack = Stack(stack_id, name, template, given, **place, **more)
    backend.stacks[stack_id] = stack
    return stack


def create_change_set(self: CloudFormationBackend, **said: Any) -> tuple[str, str]:
    """Look at what would change: nothing is a failure, which tells so."""
    said["parameters"] = _strings(said["parameters"])
    check(Stack.parse_template(said["template"]), said["parameters"])
    before = next((one for one in self.stacks.values() if one.name == said["stack_name"]), None)
    if said["change_set_type"] == "UPDATE":
        _updatable(before, said["stack_name"])
    elif before is not None and before.status == "REVIEW_IN_PROGRESS":
        del self.stacks[before.stack_id]
    elif before is not None:
        raise ValidationError(message=f"Stack [{before.name}] already exists and cannot be created again")
    change_set_id, stack_id = _create_change_set(self, **said)
    change_set = self.change_sets[change_set_id]
    change_set.tags = [{"Key": key, "Value": value} for key, value in (change_set.tags or {}).items()]
    if before is not None and said["change_set_type"] == "UPDATE":
        same = _is_so(before, said["template"], said["parameters"])
        change_set.status = "FAILED" if same else "CREATE_COMPLETE"
        change_set.execution_status = "UNAVAILABLE" if same else "AVAILABLE"
        change_set.status_reason = UNCHANGED if same else None
    return change_set_id, stack_id


def _is_so(stack: Stack, template: str, parameters: dict[str, str]) -> bool:
    parsed = Stack.parse_template(template)
    defaults = {name: str(slot["Default"]) for name, slot in parsed.get("Parameters", {}).items() if "Default" in slot}
    return bool(stack.template_dict == parsed and _in_force(stack) == {**defaults, **parameters})


def execute_change_set(self: CloudFormationBackend, change_set_name: str, stack_name: str | None = None) -> None:
    """Let the stack be so."""
    change_set: ChangeSet = self.describe_change_set(change_set_name)
    if change_set.execution_status != "AVAILABLE":
        raise ValidationError(message=f"ChangeSet [{change_set_name}] cannot be executed in its current status")
    stack = self.stacks[change_set.stack_id]
    change_set.execution_status = "EXECUTE_COMPLETE"
    if change_set.change_set_type == "UPDATE":
        stacks.update(stack, change_set.template, change_set.parameters)
        return
    stack.template, stack.parameters = change_set.template, change_set.parameters
    stack._parse_template()
    stacks.create(stack)


def update_stack(
    self: CloudFormationBackend, name: str, template: str, role_arn: str | None, parameters: Any, tags: Any
) -> Stack:
    """Let a stack be otherwise. Raises ``ValidationError`` if it would not be."""
    stack: Stack = self.get_stack(name)
    _updatable(stack, name)
    given = _strings(self._resolve_update_parameters(stack, parameters))
    check(Stack.parse_template(template), given)
    if _is_so(stack, template, given):
        raise ValidationError(message="No updates are to be performed.")
    stacks.update(stack, template, given)
    return stack


def _updatable(stack: Stack | None, name: str) -> None:
    if stack is None:
        raise ValidationError(message=f"Stack [{name}] does not exist")
    if stack.status not in stacks.SETTLED:
        raise ValidationError(message=f"Stack:{stack.stack_id} is in {stack.status} state and can not be updated.")


def delete_stack(self: CloudFormationBackend, name_or_stack_id: str) -> None:
    """Remove a stack, and all that it has; one that is not there is no error."""
    for stack in list(self.stacks.values()):
        if name_or_stack_id in (stack.name, stack.stack_id):
            if stack.enable_termination_protection:
                message = f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
                raise ValidationError(message=message)
            for name in [name for name, one in self.change_sets.items() if one.stack_id == stack.stack_id]:
                del self.change_sets[name]
            if stacks.delete(stack):
                self.deleted_stacks[stack.stack_id] = self.stacks.pop(stack.stack_id)


def _strings(parameters: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in parameters.items()}


def _in_force(stack: Stack) -> dict[str, str]:
    """The parameters as they were given, and those that were not."""
    slots = stack.template_dict.get("Parameters", {}) if stack.template_dict else {}
    defaults = {name: str(slot["Default"]) for name, slot in slots.items() if "Default" in slot}
    return {**defaults, **stack.parameters}


def _parameter_list(stack: Stack) -> list[dict[str, str]]:
    return [{"ParameterKey": name, "ParameterValue": value} for name, value in _in_force(stack).items()]


def _stack_resources(stack: Stack) -> list[Any]:
    found = (stack.resource_map._parsed_resources.get(name) for name in stack.resource_map._resource_json_map)
    return [one for one in found if one is not None]


def _what_is_there(resources: ResourceMap, name: str) -> Any:
    """Looking makes nothing. One whose condition does not hold is none."""
    if name not in resources._parsed_resources and name not in resources._resource_json_map:
        raise KeyError(name)
    return resources._parsed_resources.get(name)


def _of_a_balancer(balancer: FakeLoadBalancer, name: str) -> Any:
    if name == "LoadBalancerFullName":
        return balancer.arn.partition(":loadbalancer/")[2]
    return _balancer_attribute(balancer, name)


def _of_a_target_group(group: FakeTargetGroup, name: str) -> str:
    if name in ("TargetGroupArn", "TargetGroupFullName"):
        return str(group.arn if name == "TargetGroupArn" else group.arn.rpartition(":")[2])
    raise ValidationError(message=f"a target group has no {name}")


def _with_capabilities(call: Callable[[CloudFormationResponse], Any]) -> Callable[[CloudFormationResponse], Any]:
    def checked(self: CloudFormationResponse) -> Any:
        body = self._get_param("TemplateBody")
        kinds = [described["Type"] for described in Stack.parse_template(body)["Resources"].values()] if body else []
        wanted = set(_capabilities(kinds, body))
        if wanted and not wanted & set(self._get_param("Capabilities", [])):
            error = CloudFormationError("Requires capabilities : [CAPABILITY_IAM]")
            error.code = "InsufficientCapabilitiesException"
            raise error
        return call(self)

    return checked


def _capabilities(kinds: list[str], body: str) -> Iterator[str]:
    if any(kind.startswith("AWS::IAM::") for kind in kinds):
        yield "CAPABILITY_NAMED_IAM"
        if not any(name in body for name in ("RoleName:", "ManagedPolicyName:", "InstanceProfileName:")):
            yield "CAPABILITY_IAM"
