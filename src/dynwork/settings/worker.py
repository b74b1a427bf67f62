"""What a worker reads."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from dynwork.addresses import is_loopback
from dynwork.settings.base import CommonSettings, Port, Seconds, cores, split


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

    _lists = field_validator("orchestrator_urls", mode="before")(split)

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
