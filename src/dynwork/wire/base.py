"""What all messages are made of: their base, the types of their fields, and the bounds that every role keeps to."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator

STATE_BYTES_MAX = 4096
"""Longest state of a chain, in bytes."""

POSITION_MAX = 2**62
"""Highest position in the results feed."""

STEPS_MAX = 10**15
"""Most steps a chain may have on the wire; a role may be configured to allow fewer."""


def _unhex(value: object) -> bytes:
    raw = bytes.fromhex(value) if isinstance(value, str) else value
    if not isinstance(raw, bytes) or not 1 <= len(raw) <= STATE_BYTES_MAX:
        raise ValueError(f"a state is 1 to {STATE_BYTES_MAX} bytes, written as hex")
    return raw


StateBytes = Annotated[
    bytes,
    PlainValidator(_unhex, json_schema_input_type=str),
    PlainSerializer(bytes.hex, return_type=str),
]
NO_NUL = r"^[^\x00]*$"
"""No database keeps a NUL in a text: a name that has one is refused, prose loses it."""
Id = Annotated[str, Field(min_length=1, max_length=64, pattern=NO_NUL)]
Prose = Annotated[str, AfterValidator(lambda text: text.replace("\x00", "\N{REPLACEMENT CHARACTER}"))]
JobId = Annotated[
    str,
    Field(
        pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        description="The id of a job, a UUIDv7.",
    ),
]
Epoch = Annotated[int, Field(ge=1, le=2**62)]
Steps = Annotated[int, Field(ge=0, le=STEPS_MAX)]
Priority = Annotated[int, Field(ge=0, le=9)]
Rate = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]
WaitSeconds = Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)]


class Wire(BaseModel):
    """Base of all messages."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Shown(Wire):
    """Base of what the public sees: the text below a field is its description in the OpenAPI document."""

    model_config = ConfigDict(use_attribute_docstrings=True)
