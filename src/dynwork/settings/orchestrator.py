"""What an orchestrator reads, and the commands that look after its store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

import platformdirs
from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from dynwork.addresses import is_loopback
from dynwork.settings.base import CommonSettings, Port, Seconds, split


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
OWN_TAGS = ("Name", "dynwork:cluster", "dynwork:instance", "dynwork:build")
"""The keys of the tags by which the fleet finds its machines."""


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
    fleet_max: int = Field(
        4,
        ge=1,
        le=10_000,
        description="Most workers, launches in flight included; one more while old machines are replaced.",
    )
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
    ec2_tags: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Tags of workers' machines and their disks beside our own: key=value, comma-separated."
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

    _lists = field_validator("orchestrator_urls", "ec2_instance_types", "ec2_subnets", "ec2_tags", mode="before")(split)

    @property
    def backlog_target_s(self) -> float:
        """:attr:`fleet_backlog_target_s`, or what suits the provider."""
        return self.fleet_backlog_target_s or (60.0 if self.fleet_provider == "ec2" else 5.0)

    @property
    def cooldown_s(self) -> float:
        """:attr:`fleet_cooldown_s`, or what suits the provider."""
        return self.fleet_cooldown_s or (120.0 if self.fleet_provider == "ec2" else 5.0)

    @property
    def ec2_tags_by_key(self) -> dict[str, str]:
        """:attr:`ec2_tags`, as a table."""
        return dict(tag.split("=", 1) for tag in self.ec2_tags)

    @field_validator("ec2_tags", mode="after")
    @classmethod
    def _tags(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        for tag in tags:
            key, equals, _ = tag.partition("=")
            if not equals or not key or key.startswith("aws:") or key in OWN_TAGS:
                raise ValueError(
                    f"{tag!r} is not key=value with a key that is free: not {', '.join(OWN_TAGS)}, not aws:…"
                )
        return tags

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
