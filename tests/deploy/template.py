"""Reads deploy/aws/dynwork.yaml as CloudFormation does, with every reference put in.

A resource's physical id is its logical one: ``!Ref Vpc`` is "Vpc", ``!GetAtt Logs.Arn`` is "Logs.Arn".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "aws" / "dynwork.yaml"
STACK, REGION, ACCOUNT = "prod", "eu-central-1", "123456789012"
PSEUDO = {"StackName": STACK, "Region": REGION, "AccountId": ACCOUNT, "Partition": "aws"}
SAID = {
    "ReleaseBucket": "bucket",
    "Release": "releases/1",
    "ReleaseSha256": "0" * 64,
    "ImageId": "ami-1",
}
"""The parameters without a default."""


class _Loader(yaml.SafeLoader):
    """Keeps ``!Ref X`` as ``{"Ref": X}`` and ``!Sub X`` as ``{"Fn::Sub": X}``."""


def _tagged(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _tagged)


class Template:
    """The template as it is for these parameters."""

    def __init__(self, **parameters: str) -> None:
        document = yaml.load(FILE.read_text(), _Loader)
        self.text = FILE.read_text()
        defaults = {name: str(one["Default"]) for name, one in document["Parameters"].items() if "Default" in one}
        self._parameters = {**defaults, **SAID, **parameters}
        self._conditions = document["Conditions"]
        every: dict[str, Any] = document["Resources"]
        here = {name: one for name, one in every.items() if self._holds(one.get("Condition"))}
        self.resources: dict[str, dict[str, Any]] = {name: self._read(one) for name, one in here.items()}

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """The properties of every resource of a type, by name."""
        return {name: one.get("Properties", {}) for name, one in self.resources.items() if one["Type"] == kind}

    def _holds(self, condition: str | None) -> bool:
        return condition is None or bool(self._read(self._conditions[condition]))

    def _read(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._read(one) for one in node]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, value),) = node.items()
            if name == "Ref" or name.startswith("Fn::"):
                return self._function(name.removeprefix("Fn::"), value)
        return {key: self._read(value) for key, value in node.items()}

    def _function(self, name: str, value: Any) -> Any:
        match name:
            case "Ref":
                return self._reference(value)
            case "GetAtt":
                return ".".join(value) if isinstance(value, list) else value
            case "Sub":
                text, more = value if isinstance(value, list) else (value, {})
                return self._substituted(text, self._read(more))
            case "If":
                return self._read(value[1] if self._holds(value[0]) else value[2])
            case "Equals":
                return self._read(value[0]) == self._read(value[1])
            case "Not":
                return not self._read(value[0])
            case "Select":
                return f"{self._read(value[1])}[{value[0]}]"
            case "GetAZs":
                return "zones"
            case "Base64":
                return self._read(value)
        raise NotImplementedError(name)

    def _reference(self, name: str) -> str:
        return PSEUDO[name.removeprefix("AWS::")] if name.startswith("AWS::") else self._parameters.get(name, name)

    def _substituted(self, text: str, more: Mapping[str, str]) -> str:
        return re.sub(r"\$\{([\w.:]+)\}", lambda found: more.get(found[1], self._reference(found[1])), text)
