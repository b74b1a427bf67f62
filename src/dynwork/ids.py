"""Identifiers: UUIDv7 strings (RFC 9562), unique without asking anyone and ordered by the time they were made."""

from __future__ import annotations

import re
from collections.abc import Iterable

import uuid_utils


def new_id() -> str:
    """Return a fresh UUIDv7 in its canonical form: 36 characters, lower case."""
    return str(uuid_utils.uuid7())


_SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,64}")


def given_request_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the caller's ``X-Request-ID`` if it is fit for logs and headers, else ``None``."""
    given = next((value for name, value in headers if name == b"x-request-id"), b"")
    return given.decode("ascii") if _SANE_REQUEST_ID.fullmatch(given) else None
