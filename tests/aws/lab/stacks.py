"""CloudFormation as a script sees it: what a stack is to be is reached, and its status says whether it was.

Moto makes a resource when somebody looks at it, replaces what has changed with every machine of it, and tells of a
failure whoever asked for the change. Here a resource is made after what it needs, changed in its place when its
properties come to something else (:mod:`tests.aws.lab.gaps`), and removed before what it needs. A call succeeds;
then the stack is complete, was rolled back, or could not be deleted, and its events say why.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

from moto.cloudformation.models import Event, Stack
from moto.cloudformation.parsing import (
    OutputMap,
    ResourceMap,
    clean_json,
    generate_resource_name,
    resource_class_from_type,
    resource_name_property_from_type,
)
from moto.ec2.models import ec2_backends
from moto.ec2.models.core import TaggedEC2Resource
from tests.aws.lab.answers import Fault
from tests.aws.lab.gaps import CHANGE, MAKE, REMOVE
from tests.aws.lab.gaps.place import Place
from tests.aws.lab.templates import in_order, with_secrets

SETTLED = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")


class Refusals:
    """``next`` says why a resource of a kind cannot be made or changed now."""

    next: Callable[[str], Fault | None] = staticmethod(lambda _kind: None)


class RefusedError(Exception):
    """A service does not do what CloudFormation asks of it."""


class StackFailedError(Exception):
    """A resource could not be made or changed. ``args``: its name and why."""


def create(stack: Stack) -> None:
    """Make all that a new stack has; leave nothing if that fails."""
    _enter(stack, "CREATE_IN_PROGRESS", "User Initiated")
    try:
        _reach(stack, stack.template_dict, stack.parameters)
    except StackFailedError as error:
        _enter(stack, "ROLLBACK_IN_PROGRESS", f"The following resource(s) failed to create: [{error.args[0]}]. ")
        left = _clear(stack, _there(stack))
        _enter(stack, "ROLLBACK_FAILED" if left else "ROLLBACK_COMPLETE", _failed_to_delete(left))
    else:
        _enter(stack, "CREATE_COMPLETE")


def update(stack: Stack, template: str, parameters: dict[str, str]) -> None:
    """Let a stack be as another template and other parameters say; if that fails, as it was."""
    before, given = stack.template, stack.parameters
    _enter(stack, "UPDATE_IN_PROGRESS", "User Initiated")
    try:
        _reach(stack, Stack.parse_template(template), parameters)
    except StackFailedError as error:
        reason = f"The following resource(s) failed to update: [{error.args[0]}]. "
        _enter(stack, "UPDATE_ROLLBACK_IN_PROGRESS", reason)
        template, parameters, end = before, given, "UPDATE_ROLLBACK_COMPLETE"
        try:
            _reach(stack, Stack.parse_template(template), parameters)
        except StackFailedError as again:
            return _enter(stack, "UPDATE_ROLLBACK_FAILED", str(again))
    else:
        end = "UPDATE_COMPLETE"
    stack.template, stack.parameters = template, parameters
    stack._parse_template()
    left = _clear(stack, _there(stack) - set(_wanted(stack.resource_map)))
    return _enter(stack, end, _failed_to_delete(left))


def delete(stack: Stack) -> bool:
    """Remove all that a stack has, but for what others that cannot be removed need. Return whether nothing is left."""
    _enter(stack, "DELETE_IN_PROGRESS", "User Initiated")
    left = _clear(stack, _there(stack))
    _enter(stack, "DELETE_FAILED" if left else "DELETE_COMPLETE", _failed_to_delete(left))
    return not left


def _failed_to_delete(left: Iterable[str]) -> str | None:
    return f"The following resource(s) failed to delete: [{', '.join(sorted(left))}]. " if left else None


def _enter(stack: Stack, status: str, reason: str | None = None) -> None:
    stack.status, stack.stack_status_reason = status, reason
    stack._add_stack_event(status, resource_status_reason=reason)
    stack.output_map = OutputMap(stack.resource_map, stack.template_dict if status in SETTLED else {}, stack.stack_id)


def _there(stack: Stack) -> set[str]:
    return set(_said(stack))


def _said(stack: Stack) -> dict[str, Any]:
    """What each resource that is there was last told to be."""
    said: dict[str, Any] = stack.resource_map.__dict__.setdefault("said", {})
    return said


def _wanted(resources: ResourceMap) -> list[str]:
    described = resources._resource_json_map
    return [
        name
        for name in in_order(described)
        if "Condition" not in described[name] or resources.lazy_condition_map[described[name]["Condition"]]
    ]


def _reach(stack: Stack, template: dict[str, Any], parameters: dict[str, str]) -> None:
    """Make what is not there, change what is to be otherwise. Raises :class:`StackFailedError`."""
    resources = stack.resource_map
    known = {**resources._resource_json_map, **template["Resources"]}
    resources._template, resources._resource_json_map = template, template["Resources"]
    resources.input_parameters, resources.resolved_parameters = parameters, {}
    resources.load()
    stack.known_resources = known
    for name in _wanted(resources):
        described = copy.deepcopy(resources._resource_json_map[name])
        try:
            _reach_one(stack, name, {"Properties": {}, **described})
        except Exception as error:
            _event(stack, name, "UPDATE_FAILED" if name in _said(stack) else "CREATE_FAILED", str(error))
            raise StackFailedError(name, str(error)) from error


def _reach_one(stack: Stack, name: str, described: dict[str, Any]) -> None:
    resources, said = stack.resource_map, _said(stack)
    kind, place = described["Type"], Place(stack.account_id, stack.region_name)
    properties = clean_json(described["Properties"], resources)
    if said.get(name) == properties:
        return
    fault = Refusals.next(kind)
    if fault is not None:
        service = kind.split("::")[1]
        raise RefusedError(f"{fault.message} (Service: {service}, Status Code: {fault.status}, Request ID: 0)")
    verb = "UPDATE" if name in said else "CREATE"
    resolved = {**described, "Properties": with_secrets(copy.deepcopy(properties), place)}
    _event(stack, name, f"{verb}_IN_PROGRESS")
    if name in said:
        made = _change(resources._parsed_resources[name], resolved, place)
    else:
        made = _make(stack, name, resolved, place)
    made.cf_resource_type, made.logical_resource_id = kind, name
    resources._parsed_resources[name], said[name] = made, properties
    _event(stack, name, f"{verb}_COMPLETE")


def _make(stack: Stack, name: str, resolved: dict[str, Any], place: Place) -> Any:
    kind, properties = resolved["Type"], resolved["Properties"]
    named = properties.get(resource_name_property_from_type(kind))
    physical = named or generate_resource_name(kind, stack.name, name)
    if kind in MAKE:
        return MAKE[kind](physical, properties, place)
    more = {"LogicalId": name, "StackId": stack.stack_id, "ResourceType": kind}
    made = _class(kind).create_from_cloudformation_json(physical, resolved, place.account, place.region, **more)
    if isinstance(made, TaggedEC2Resource):
        marks = {"stack-name": stack.name, "stack-id": stack.stack_id, "logical-id": name}
        tags = {**stack.tags, **{f"aws:cloudformation:{key}": value for key, value in marks.items()}}
        place.of(ec2_backends).create_tags([made.physical_resource_id], tags)
    return made


def _change(made: Any, resolved: dict[str, Any], place: Place) -> Any:
    kind = resolved["Type"]
    if kind in CHANGE:
        return CHANGE[kind](made, resolved["Properties"], place)
    update = _class(kind).update_from_cloudformation_json
    if hasattr(update, "__isabstractmethod__"):
        raise NotImplementedError(f"the lab does not know how {kind} is changed in its place")
    return update(
        original_resource=made,
        new_resource_name=made.physical_resource_id,
        cloudformation_json=resolved,
        account_id=place.account,
        region_name=place.region,
    )


def _class(kind: str) -> Any:
    found = resource_class_from_type(kind)
    if found is None:
        raise NotImplementedError(f"the lab does not know {kind}")
    return found


def _clear(stack: Stack, names: set[str]) -> set[str]:
    """Remove these resources, what needs others first; return those that could not be."""
    resources, left, needed = stack.resource_map, set[str](), set[str]()
    known = getattr(stack, "known_resources", {})
    order = in_order(known)
    for name in reversed([name for name in order if name in names]):
        kept = known[name].get("DeletionPolicy") == "Retain"
        try:
            if name in needed:
                raise StackFailedError(name, "another resource that could not be deleted needs it")
            if not kept:
                _event(stack, name, "DELETE_IN_PROGRESS")
                _remove(resources, name, known[name], Place(stack.account_id, stack.region_name))
        except StackFailedError:
            needed |= set(in_order(known, of=name))
        except Exception as error:  # noqa: BLE001 - the same
            left.add(name)
            needed |= set(in_order(known, of=name))
            _event(stack, name, "DELETE_FAILED", str(error))
        else:
            _event(stack, name, "DELETE_SKIPPED" if kept else "DELETE_COMPLETE")
            del resources._parsed_resources[name], _said(stack)[name]
    return left


def _remove(resources: ResourceMap, name: str, described: dict[str, Any], place: Place) -> None:
    made, kind = resources._parsed_resources[name], described["Type"]
    if kind in REMOVE:
        REMOVE[kind](made, place)
    elif hasattr(made, "delete"):
        made.delete(place.account, place.region)
    else:
        resolved = {**described, "Properties": clean_json(copy.deepcopy(described.get("Properties", {})), resources)}
        _class(kind).delete_from_cloudformation_json(made.physical_resource_id, resolved, place.account, place.region)


def _event(stack: Stack, name: str, status: str, reason: str | None = None) -> None:
    made = stack.resource_map._parsed_resources.get(name)
    kind = stack.known_resources[name]["Type"]
    physical = getattr(made, "physical_resource_id", "")
    stack.events.append(Event(stack.stack_id, stack.name, name, physical, kind, status, reason, None))
