"""Settings: one frozen model per role, read from ``DYNWORK_*`` environment variables and nowhere else.

Each field states its unit and its bounds; a value out of bounds refuses to start with one clear sentence. Secrets are
``SecretStr``: they do not appear in logs, errors or ``repr``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from dynwork import rights
from dynwork.addresses import is_loopback
from dynwork.errors import ConfigurationError
from dynwork.rights import Key

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=31_536_000)]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _split(text: object) -> object:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text


class CommonSettings(BaseSettings):
    """What every role reads."""

    model_config = SettingsConfigDict(env_prefix="DYNWORK_", frozen=True, extra="ignore", hide_input_in_errors=True)

    log_format: Literal["console", "json"] = Field("console", description="How log lines look.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least level logged.")
    open_pages: bool | None = Field(
        None, description="Serve /metrics and /docs without a key; unset: only while bound to loopback."
    )
    parent_fd: int | None = Field(
        None,
        ge=0,
        description="A pipe inherited from the supervisor: the role stops when its other end closes.",
    )


class ApiSettings(CommonSettings):
    """``python -m dynwork.api``."""

    api_host: str = Field("127.0.0.1", description="Address to listen on. Beyond loopback keys are required.")
    api_port: Port = Field(8000, description="Port to listen on; 0 takes any free one.")
    orchestrator_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        ("http://127.0.0.1:8100",),
        min_length=1,
        description="Seeds, comma-separated; replies name the others.",
    )
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="Comma-separated owner:key, or owner[rights]:key with submit, read or admin, joined by +; without"
        " brackets: submit+read. An owner may have several.",
    )
    api_token: SecretStr | None = Field(None, description="What this role shows to orchestrators.")
    body_bytes_max: int = Field(16 * 1024**2, ge=1, le=1024**3, description="Longest buffer accepted, bytes.")
    iterations_max: int = Field(10**12, ge=1, le=10**15, description="Most iterations a job may ask for, steps.")
    submit_timeout_s: Seconds = Field(1.5, description="Longest wait for one orchestrator to take a batch, seconds.")
    submit_batch_max: int = Field(500, ge=1, le=1000, description="Jobs sent to an orchestrator in one call at most.")
    submit_pending_max: int = Field(
        20_000, ge=1, le=1_000_000, description="Submissions waiting in this API at most; beyond: 503."
    )

    _lists = field_validator("orchestrator_urls", "api_keys", mode="before")(_split)

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys, whose they are and what they allow."""
        return rights.parse_all([entry.get_secret_value() for entry in self.api_keys])

    @model_validator(mode="after")
    def _secure(self) -> Self:
        try:
            _ = self.keys
        except ValueError as error:
            raise ValueError(f"DYNWORK_API_KEYS: {error}") from None
        if not is_loopback(self.api_host) and not self.api_keys:
            raise ValueError(
                f"DYNWORK_API_HOST={self.api_host} can be reached from other machines: set DYNWORK_API_KEYS=owner:key"
                " (comma-separated), or bind to 127.0.0.1"
            )
        return self


class StoreSettings(CommonSettings):
    """What an orchestrator and the commands ``dynwork migrate`` and ``dynwork check-store`` read."""

    data_dir: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("dynwork"), description="Where files are kept."
    )
    store_url: SecretStr | None = Field(
        None,
        description="sqlite:///path/dynwork.db or postgresql://user:password@host1:5432,host2:5432/database; unset:"
        " dynwork.db in DYNWORK_DATA_DIR.",
    )


EC2_NEEDS = (
    "ec2_template",
    "ec2_instance_types",
    "ec2_subnets",
    "ec2_release",
    "ec2_release_sha256",
    "ec2_worker_secret",
)
"""The fields without which no machine can be launched."""


class OrchestratorSettings(StoreSettings):
    """``python -m dynwork.orchestrator``."""

    orchestrator_host: str = Field(
        "127.0.0.1", description="Address to listen on. Beyond loopback tokens are required."
    )
    orchestrator_port: Port = Field(8100, description="Port to listen on; 0 takes any free one.")
    orchestrator_url: str | None = Field(
        None, description="How others reach this orchestrator; unset: http://HOST:PORT as bound."
    )
    orchestrator_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Seeds for the workers that it starts, comma-separated; unset: this orchestrator alone."
    )
    api_token: SecretStr | None = Field(None, description="What API instances must show.")
    worker_token: SecretStr | None = Field(None, description="What workers must show.")
    fleet_provider: Literal["none", "local", "ec2"] = Field("none", description="Who starts and ends workers.")
    fleet_min: int = Field(1, ge=0, le=10_000, description="Fewest workers.")
    fleet_max: int = Field(4, ge=1, le=10_000, description="Most workers, launches in flight included.")
    fleet_tick_s: Seconds = Field(1.0, description="How often the fleet is looked at, seconds.")
    fleet_backlog_target_s: Seconds | None = Field(
        None,
        description="The work ahead that the fleet should be able to do within this time, seconds; unset: 5, and 60"
        " with machines that have to boot.",
    )
    fleet_cooldown_s: Seconds | None = Field(
        None,
        description="Shortest time between a launch and a scale-down, and idle time before one, seconds; unset: 5, and"
        " 120 with machines that have to boot.",
    )
    fleet_boot_timeout_s: Seconds = Field(
        180.0, description="A machine that has not reported by then is ended, seconds."
    )
    fleet_look_s: Seconds = Field(
        60.0, description="How often EC2 is asked which machines there are, when nothing is expected; seconds."
    )
    ec2_region: str | None = Field(None, description="The AWS region; unset: as boto finds it.")
    ec2_template: str | None = Field(
        None, description="The launch template of workers, id or name, with :version; its default if that is left out."
    )
    ec2_instance_types: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Instance types for workers, comma-separated, the best first."
    )
    ec2_subnets: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Subnets, and with them zones, for workers; comma-separated, the best first."
    )
    ec2_spot: bool = Field(True, description="Take spot machines first, on-demand ones where there are none.")
    ec2_release: str | None = Field(None, description="What workers install: s3://bucket/prefix of a release.")
    ec2_release_sha256: str | None = Field(None, description="SHA-256 of the release's SHA256SUMS, hex.")
    ec2_worker_secret: str | None = Field(None, description="The SSM parameter that holds DYNWORK_WORKER_TOKEN.")
    heartbeat_s: Seconds = Field(3.0, description="How often workers report, seconds; dictated to them.")
    lease_s: Seconds = Field(9.0, description="A worker silent for this long loses its leases, seconds.")
    lease_batch_max: int = Field(500, ge=1, le=5000, description="Jobs in one grant at most.")
    prefetch_s: Seconds = Field(1.0, description="How far ahead work is handed out, seconds.")
    poll_wait_s_max: Seconds = Field(30.0, description="Longest that a worker's ask is parked, seconds.")
    attempts_max: int = Field(5, ge=1, le=1000, description="Errors of the work after which a job is dead.")
    losses_max: int = Field(
        50, ge=0, le=10_000, description="Workers lost in a row without progress before it is dead."
    )
    retry_backoff_s: Seconds = Field(1.0, description="Delay after the first error, doubling, with jitter; seconds.")
    retry_backoff_s_max: Seconds = Field(60.0, description="Longest delay between attempts, seconds.")
    iterations_max: int = Field(10**12, ge=1, le=10**15, description="Most iterations a job may ask for, steps.")
    queue_jobs_max: int = Field(10**7, ge=1, description="Queued jobs at most; beyond: 429.")
    retention_s: Seconds = Field(604_800.0, description="Ended jobs are kept this long, seconds.")
    round_items_max: int = Field(2000, ge=1, le=10_000, description="Requests committed in one transaction at most.")
    worker_slots: int | None = Field(
        None, ge=1, le=1024, description="Given to the workers that it starts; unset: by cores."
    )
    worker_orphan_s: Seconds | None = Field(
        None, description="Given to the workers that it starts; unset: their own default, seconds."
    )
    worker_gone_shortcut: bool = Field(
        True, description="Take back the leases of a local worker once its process is seen to end; off: at expiry."
    )

    _lists = field_validator("orchestrator_urls", "ec2_instance_types", "ec2_subnets", mode="before")(_split)

    @property
    def backlog_target_s(self) -> float:
        """:attr:`fleet_backlog_target_s`, or what suits the provider."""
        return self.fleet_backlog_target_s or (60.0 if self.fleet_provider == "ec2" else 5.0)

    @property
    def cooldown_s(self) -> float:
        """:attr:`fleet_cooldown_s`, or what suits the provider."""
        return self.fleet_cooldown_s or (120.0 if self.fleet_provider == "ec2" else 5.0)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = (*EC2_NEEDS, "orchestrator_urls") if self.fleet_provider == "ec2" else ()
        missing = [f"DYNWORK_{name.upper()}" for name in needed if not getattr(self, name)]
        if missing:
            raise ValueError(f"DYNWORK_FLEET_PROVIDER=ec2 needs {', '.join(missing)} as well")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.fleet_min > self.fleet_max:
            raise ValueError("DYNWORK_FLEET_MIN must not be above DYNWORK_FLEET_MAX")
        if self.lease_s < 2 * self.heartbeat_s:
            raise ValueError(
                "DYNWORK_LEASE_S must be at least twice DYNWORK_HEARTBEAT_S, or one late heartbeat loses work"
            )
        if not is_loopback(self.orchestrator_host) and not (self.api_token and self.worker_token):
            raise ValueError(
                f"DYNWORK_ORCHESTRATOR_HOST={self.orchestrator_host} can be reached from other machines: set"
                " DYNWORK_API_TOKEN and DYNWORK_WORKER_TOKEN, or bind to 127.0.0.1"
            )
        if self.api_token and self.worker_token and self.api_token == self.worker_token:
            raise ValueError("DYNWORK_API_TOKEN and DYNWORK_WORKER_TOKEN must differ: workers must not pass for an API")
        return self


class WorkerSettings(CommonSettings):
    """``python -m dynwork.worker``."""

    worker_host: str = Field("127.0.0.1", description="Address of the worker's health and metrics pages.")
    worker_port: Port = Field(8200, description="Port of the worker's health and metrics pages; 0 takes any free one.")
    worker_id: str | None = Field(
        None, max_length=64, description="Name of this worker; unset: a fresh one at each start."
    )
    worker_instance_id: str | None = Field(
        None, max_length=64, description="The instance it runs on, set by the fleet."
    )
    worker_slots: int | None = Field(None, ge=1, le=1024, description="Lane groups, one a core; unset: the cores.")
    worker_token: SecretStr | None = Field(None, description="What this role shows to orchestrators.")
    worker_notices: Literal["none", "ec2"] = Field(
        "none", description="Who tells that the machine is about to be taken away: EC2, or nobody."
    )
    worker_orphan_s: Seconds = Field(
        600.0,
        description="A worker of a fleet that no orchestrator has served for this long ends, and its machine; seconds.",
    )
    worker_calibration_s: Seconds = Field(0.3, description="How long the speed is measured at the start, seconds.")
    worker_stop_s: Seconds = Field(4.0, description="Longest that handing back work may take at the end, seconds.")
    worker_slice_s: Seconds = Field(0.025, description="How long lanes run between two looks at new orders, seconds.")
    orchestrator_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        ("http://127.0.0.1:8100",),
        min_length=1,
        description="Seeds, comma-separated; replies name the others.",
    )

    _lists = field_validator("orchestrator_urls", mode="before")(_split)

    @property
    def orphan_s(self) -> float | None:
        """How long it goes on unserved; a worker that a person started waits for ever."""
        return None if self.worker_instance_id is None else self.worker_orphan_s

    @property
    def slots(self) -> int:
        """Lane groups to run."""
        return self.worker_slots or cores()

    @model_validator(mode="after")
    def _secure(self) -> Self:
        if not is_loopback(self.worker_host) and not self.worker_token:
            raise ValueError(
                f"DYNWORK_WORKER_HOST={self.worker_host} can be reached from other machines: set DYNWORK_WORKER_TOKEN,"
                " or bind to 127.0.0.1"
            )
        return self


class ClientSettings(BaseSettings):
    """What the command line and the SDK read."""

    model_config = SettingsConfigDict(env_prefix="DYNWORK_", frozen=True, extra="ignore", hide_input_in_errors=True)

    url: str = Field("http://127.0.0.1:8000", description="Where the APIs answer, comma-separated.")
    api_key: SecretStr | None = Field(None, description="The key to show.")
    patience_s: float = Field(
        20.0, ge=0, le=31_536_000, description="How long a call is repeated after its first failure, seconds."
    )
    data_dir: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("dynwork"), description="Where files are kept."
    )

    @property
    def urls(self) -> list[str]:
        """Where each API answers."""
        return [url.strip() for url in self.url.split(",") if url.strip()]


Settings = TypeVar("Settings", bound=BaseSettings)


def load(model: type[Settings]) -> Settings:
    """Read ``model`` from the environment. Raises ``ConfigurationError`` with one line per wrong variable."""
    try:
        return model()
    except ValidationError as error:
        lines = []
        for item in error.errors(include_url=False, include_input=False):
            variable = "DYNWORK_" + "_".join(str(part) for part in item["loc"]).upper() if item["loc"] else ""
            lines.append(f"{variable}: {item['msg']}" if variable else item["msg"].removeprefix("Value error, "))
        raise ConfigurationError("; ".join(lines)) from None


def child_environment(**variables: str) -> dict[str, str]:
    """Return this process's environment with ``variables`` set: what a role is started with."""
    return {**os.environ, **variables}
