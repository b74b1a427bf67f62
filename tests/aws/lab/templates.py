"""What a template says: which resource needs which, what its parameters may be, what is to be looked up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from moto.cloudformation.exceptions import ValidationError
from moto.ssm.models import ssm_backends
from tests.aws.lab.gaps.place import Place

SECRET = re.compile(r"\{\{resolve:(?:ssm|ssm-secure):([^:}]+)(?::(\d+))?\}\}")


def in_order(described: dict[str, Any], of: str | None = None) -> list[str]:
    """Return the resources, each after those it needs; with ``of``, that resource and what it needs alone."""
    order: list[str] = []
    under_way: set[str] = set()

    def add(name: str) -> None:
        if name in under_way:
            raise ValidationError(message=f"Circular dependency between resources: {sorted(under_way)}")
        if name not in order:
            under_way.add(name)
            for needed in _needs(described[name]):
                if needed in described:
                    add(needed)
            under_way.remove(name)
            order.append(name)

    for name in described if of is None else [of]:
        add(name)
    return order


def _needs(said: Any) -> Iterator[str]:
    if isinstance(said, list):
        for one in said:
            yield from _needs(one)
    if not isinstance(said, dict):
        return
    for key, value in said.items():
        match key, value:
            case ("Ref", str()):
                yield value
            case ("Fn::GetAtt", [name, *_]):
                yield name
            case ("DependsOn", str()):
                yield value
            case ("DependsOn", list()):
                yield from value
            case ("Fn::Sub", str() as text) | ("Fn::Sub", [str() as text, *_]):
                yield from (name.partition(".")[0] for name in re.findall(r"\$\{([^!}][^}]*)\}", text))
                yield from _needs(value)
            case _:
                yield from _needs(value)


def with_secrets(said: Any, place: Place) -> Any:
    """Put parameters of SSM in for references to them. Raises ``ValidationError`` if there is none of the name."""
    if isinstance(said, dict):
        return {key: with_secrets(value, place) for key, value in said.items()}
    if isinstance(said, list):
        return [with_secrets(one, place) for one in said]
    return SECRET.sub(lambda found: _secret(found, place), said) if isinstance(said, str) else said


def _secret(found: re.Match[str], place: Place) -> str:
    name, version = found.groups()
    parameter = place.of(ssm_backends).get_parameter(f"{name}:{version}" if version else name)
    if parameter is None:
        raise ValidationError(message=f"Parameters: [ssm-secure:{name}:] cannot be found.")
    return str(parameter.decrypt(parameter.value))


def check(template: dict[str, Any], given: dict[str, str]) -> None:
    """Raise ``ValidationError`` unless the template's parameters may be what was given."""
    slots = template.get("Parameters", {})
    unknown = sorted(given.keys() - slots.keys())
    missing = sorted(name for name, slot in slots.items() if "Default" not in slot and name not in given)
    if unknown:
        raise ValidationError(message=f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    if missing:
        raise ValidationError(message=f"Parameters: [{', '.join(missing)}] must have values")
    for name, value in given.items():
        _check_one(name, slots[name], value)


def _check_one(name: str, slot: dict[str, Any], value: str) -> None:
    if "AllowedValues" in slot and value not in [str(one) for one in slot["AllowedValues"]]:
        raise ValidationError(message=f"Parameter '{name}' must be one of AllowedValues")
    if "AllowedPattern" in slot and not re.fullmatch(slot["AllowedPattern"], value):
        raise ValidationError(message=f"Parameter '{name}' must match pattern {slot['AllowedPattern']}")
    if slot["Type"] == "Number" and not re.fullmatch(r"-?\d+(\.\d+)?", value):
        raise ValidationError(message=f"Parameter '{name}' must be a number.")
    if float(slot.get("MinValue", "-inf")) > float(value if slot["Type"] == "Number" else 0):
        raise ValidationError(message=f"Parameter '{name}' must be a number not less than {slot['MinValue']}")
    if float(slot.get("MaxValue", "inf")) < float(value if slot["Type"] == "Number" else 0):
        raise ValidationError(message=f"Parameter '{name}' must be a number not greater than {slot['MaxValue']}")
