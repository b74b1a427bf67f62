"""What the command line and the SDK read."""

from __future__ import annotations

from pathlib import Path

import platformdirs
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


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
