"""How one call follows another, for the OpenAPI document: what the first answers is what the second asks for.

Readers of the document see where a ``job_id`` or a ``next`` belongs; tools that walk an API (our tests do) follow it.
"""

from __future__ import annotations

from typing import Any

_BODY = "$response.body#"
_JOB = {"job_id": f"{_BODY}/job_id"}

LINKS: dict[str, dict[str, tuple[str, dict[str, str]]]] = {
    "enqueue": {"look": ("job", _JOB), "cancel": ("cancel", _JOB)},
    "enqueue_many": {"look": ("job", {"job_id": f"{_BODY}/results/0/job_id"})},
    "requeue": {"look": ("job", _JOB), "cancel": ("cancel", _JOB)},
    "job": {"cancel": ("cancel", _JOB), "requeue": ("requeue", _JOB)},
    "jobs": {"next": ("jobs", {"cursor": f"{_BODY}/next"}), "look": ("job", {"job_id": f"{_BODY}/jobs/0/job_id"})},
    "results": {"next": ("results", {"after": f"{_BODY}/next"})},
    "pull_completed": {"look": ("job", {"job_id": f"{_BODY}/0/job_id"})},
}
"""For each operation the links of its success: a name, the operation that follows, where its parameters are from."""


def add(document: dict[str, Any]) -> None:
    """Put the links into an OpenAPI document."""
    for operations in document["paths"].values():
        for operation in operations.values():
            links = LINKS.get(operation["operationId"], {})
            for status in operation["responses"].keys() & ({"200", "202"} if links else ()):
                operation["responses"][status]["links"] = {
                    name: {"operationId": follower, "parameters": parameters}
                    for name, (follower, parameters) in links.items()
                }
