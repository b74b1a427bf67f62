"""What an API instance reads."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from dynwork import rights
from dynwork.addresses import is_loopback
from dynwork.rights import Key
from dynwork.settings.base import CommonSettings, Port, Seconds, split


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

    _lists = field_validator("orchestrator_urls", "api_keys", mode="before")(split)

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
