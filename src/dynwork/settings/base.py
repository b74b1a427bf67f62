"""What every role reads, the types of fields, and how settings are read and handed on."""

from __future__ import annotations

import os
from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from dynwork.errors import ConfigurationError

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=31_536_000)]


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def split(text: object) -> object:
    """Read a list that is written with commas."""
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
