"""Would IAM allow it? The part of its evaluation that the template uses: no denials, no boundaries.

Source: "Policy evaluation logic", https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from tests.deploy.template import Template

MATCHES = {
    "StringEquals": lambda value, wanted: value == wanted,
    "StringLike": fnmatchcase,
    "ArnEquals": fnmatchcase,
}


def statements(template: Template, role: str) -> Iterator[dict[str, Any]]:
    """Every statement of a role's policies, its own and those it shares."""
    properties = template.resources[role]["Properties"]
    shared = [template.resources[name]["Properties"] for name in properties["ManagedPolicyArns"]]
    for policy in (*properties["Policies"], *shared):
        yield from policy["PolicyDocument"]["Statement"]


def allows(template: Template, role: str, action: str, resource: str, **context: str) -> bool:
    """Whether a role may do ``action`` on ``resource`` (an ARN); ``context``: condition keys, ``__`` for ``:``."""
    keys = {name.replace("__", ":"): value for name, value in context.items()}
    return any(
        action in listed(one["Action"])
        and any(fnmatchcase(resource, pattern) for pattern in listed(one["Resource"]))
        and all(_holds(kind, wanted, keys) for kind, wanted in one.get("Condition", {}).items())
        for one in statements(template, role)
        if one["Effect"] == "Allow"
    )


def listed(value: str | list[str]) -> list[str]:
    """One or several."""
    return [value] if isinstance(value, str) else value


def _holds(kind: str, wanted: Mapping[str, str], keys: Mapping[str, str]) -> bool:
    return all(name in keys and MATCHES[kind](keys[name], value) for name, value in wanted.items())
