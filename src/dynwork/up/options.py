"""What a cluster on this machine is made of, and where each of its roles listens."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dynwork.errors import ConfigurationError
from dynwork.settings import child_environment, cores

ORCHESTRATOR_PORT_OFFSET = 100
"""Orchestrators listen this far above the APIs."""
POSTGRES_PORT_OFFSET = 200
"""The local PostgreSQL server listens this far above the APIs."""
LOCAL_POSTGRES = "postgres"
"""The ``--store`` that stands for a PostgreSQL server of the cluster's own."""
PROCESSES_MAX = 32
"""APIs, or orchestrators, at most: their ports must not meet."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """The options of ``dynwork up``. ``environment``: settings given to every role on top of the supervisor's own."""

    data_dir: Path
    apis: int = 2
    orchestrators: int = 1
    min_workers: int = 1
    max_workers: int = 4
    api_port: int = 8000
    store: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise ``ConfigurationError`` for what cannot be run."""
        if not 1 <= self.apis <= PROCESSES_MAX or not 1 <= self.orchestrators <= PROCESSES_MAX:
            raise ConfigurationError(f"--apis and --orchestrators must each be from 1 to {PROCESSES_MAX}")
        if not 0 <= self.min_workers <= self.max_workers or self.max_workers < 1:
            raise ConfigurationError("--min-workers must not be above --max-workers, and that must be at least 1")
        if not 1 <= self.api_port <= 65535 - POSTGRES_PORT_OFFSET:
            raise ConfigurationError(f"--api-port {self.api_port} leaves no room for the ports above it")
        if self.orchestrators > 1 and (self.store is None or self.store.startswith("sqlite")):
            raise ConfigurationError(
                f"--orchestrators {self.orchestrators} needs a store that several can share; SQLite, the default, is"
                " for one. Use --orchestrators 1, or --store postgres, or --store with a PostgreSQL URL"
            )

    @property
    def with_postgres(self) -> bool:
        """Whether a PostgreSQL server belongs to the cluster."""
        return self.store == LOCAL_POSTGRES

    @property
    def postgres_port(self) -> int:
        """Where the cluster's own PostgreSQL server listens, if it has one."""
        return self.api_port + POSTGRES_PORT_OFFSET

    @property
    def slots(self) -> int:
        """Lane groups of each worker: together the most workers use about all cores."""
        return max(1, cores() // self.max_workers)


@dataclass(frozen=True, slots=True)
class Program:
    """A process that is no role of dynwork. ``command`` is asked at every start, and run in ``folder``.

    ``stop_signal`` asks it to end; ``is_ready`` says whether it can do its work; ``shown_as`` is its URL for people.
    """

    command: Callable[[], Sequence[str]]
    folder: Path
    stop_signal: signal.Signals
    is_ready: Callable[[], bool]
    shown_as: str


@dataclass(frozen=True, slots=True)
class RoleSpec:
    """One process to keep running: a role of dynwork, unless ``program`` is something else."""

    role: str
    index: int
    port: int
    environment: Mapping[str, str]
    program: Program | None = None

    @property
    def name(self) -> str:
        """What it is called in messages and log files."""
        return f"{self.role}-{self.index}"

    @property
    def url(self) -> str:
        """Where it answers."""
        return self.program.shown_as if self.program else f"http://127.0.0.1:{self.port}"


def orchestrator_specs(options: UpOptions) -> list[RoleSpec]:
    """Return the orchestrators of the cluster."""
    variables = {
        "DYNWORK_DATA_DIR": str(options.data_dir),
        "DYNWORK_FLEET_PROVIDER": "local",
        "DYNWORK_FLEET_MIN": str(options.min_workers),
        "DYNWORK_FLEET_MAX": str(options.max_workers),
        "DYNWORK_ORCHESTRATOR_HOST": "127.0.0.1",
    }
    if options.store is not None:
        variables["DYNWORK_STORE_URL"] = options.store
    ports = [options.api_port + ORCHESTRATOR_PORT_OFFSET + index for index in range(options.orchestrators)]
    variables["DYNWORK_ORCHESTRATOR_URLS"] = ",".join(f"http://127.0.0.1:{port}" for port in ports)
    specs = []
    for index, port in enumerate(ports):
        environment = _environment(options, {**variables, "DYNWORK_ORCHESTRATOR_PORT": str(port)})
        environment.setdefault("DYNWORK_WORKER_SLOTS", str(options.slots))
        specs.append(RoleSpec("orchestrator", index, port, environment))
    return specs


def api_specs(options: UpOptions) -> list[RoleSpec]:
    """Return the APIs of the cluster."""
    seeds = ",".join(spec.url for spec in orchestrator_specs(options))
    specs = []
    for index in range(options.apis):
        port = options.api_port + index
        variables = {
            "DYNWORK_API_HOST": "127.0.0.1",
            "DYNWORK_API_PORT": str(port),
            "DYNWORK_ORCHESTRATOR_URLS": seeds,
        }
        environment = _environment(options, variables)
        environment.pop("DYNWORK_WORKER_TOKEN", None)
        specs.append(RoleSpec("api", index, port, environment))
    return specs


def _environment(options: UpOptions, variables: Mapping[str, str]) -> dict[str, str]:
    return child_environment(**{**options.environment, **variables})
