"""Where resources are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from moto.iam.models import iam_backends

Properties: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where resources are."""

    account: str
    region: str

    def of(self, backends: Any) -> Any:
        """Return this place's backend of a service."""
        return backends[self.account]["aws" if backends is iam_backends else self.region]
