"""The public HTTP API, second half: the system as everybody sees it, and how a request is refused."""

from __future__ import annotations

from typing import Literal

from dynwork.wire.base import Shown


class Stats(Shown):
    """The queue in numbers."""

    queued: int
    """Jobs that wait."""
    leased: int
    """Jobs that a worker has."""
    succeeded: int
    """Jobs that ended with a result, as far as they are kept."""
    dead: int
    """Jobs that were given up, as far as they are kept."""
    cancelled: int
    """Jobs that were cancelled, as far as they are kept."""
    backlog_steps: float
    """The work ahead: steps still to do, of all jobs that wait or run."""
    backlog_s: float | None
    """The same in seconds of the whole present fleet; null without workers, or with work that none has measured yet."""
    submitted_per_s: float
    """Jobs submitted a second, over the last seconds."""
    completed_per_s: float
    """Jobs ended a second, over the last seconds."""
    oldest_wait_s: float
    """How long the first job in line has been due, seconds."""


class WorkerView(Shown):
    """A worker."""

    worker_id: str
    """Its name."""
    instance_id: str | None
    """The machine it runs on."""
    pid: int | None
    """Its process."""
    host: str | None
    """The machine's name."""
    state: Literal["ready", "draining", "lost"]
    """`draining`: it is given nothing new and hands back what it has; `lost`: it was silent for too long."""
    capacity: float
    """Steps a second with all lanes full, of the built-in kind of work; so `chain_speed` and `lanes`."""
    chain_speed: float
    """Steps a second of one chain."""
    leases: int
    """Jobs that it has."""
    lanes: int
    """Jobs that it works on at a time."""
    path: str | None
    """How it hashes."""
    started_at: str | None
    """When its process began."""
    last_seen_at: str
    """When it last reported."""


class InstanceView(Shown):
    """A machine, or the local process that stands for one."""

    instance_id: str
    """Its name here."""
    provider_id: str | None
    """Its name at the provider of machines."""
    state: str
    """`intended`, `booting`, `running`, `draining` or `ended`."""
    intended_at: str
    """When it was decided to launch it."""
    launched_at: str | None
    """When the provider was asked to."""
    reason: str | None
    """Why it is ended."""


class Fleet(Shown):
    """Who computes."""

    min: int
    """Fewest workers."""
    max: int
    """Most workers, launches in flight included."""
    workers: list[WorkerView]
    """Those that report, and those just lost."""
    instances: list[InstanceView]
    """The machines that are accounted for."""
    leader: str | None
    """The orchestrator that scales and sweeps."""
    decision: str | None
    """The scaler's latest, in words and with its numbers."""


class Health(Shown):
    """Whether a role is well."""

    status: Literal["ok", "unavailable"]
    """`ok`, or not just now."""
    missing: str | None = None
    """What keeps it from its work; there only if something does."""
    warning: str | None = None
    """What somebody must mend although the role can do its work; there only if there is something."""


class Problem(Shown):
    """Why a request was not carried out: ``application/problem+json`` (RFC 9457)."""

    type: str = "about:blank"
    """Always `about:blank`: `code` says what happened."""
    title: str
    """The status, in words."""
    status: int
    """The HTTP status."""
    code: str
    """Stable, for programs."""
    detail: str
    """For people: what happened and what to do next."""
    errors: list[dict[str, str]] | None = None
    """Which fields are wrong, and why; for bad input only."""
