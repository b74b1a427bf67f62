"""Identifiers: UUIDv7 strings (RFC 9562), unique without asking anyone and ordered by the time they were made."""

from __future__ import annotations

from uuid import UUID

import uuid_utils


def new_id() -> str:
    """Return a fresh UUIDv7 in its canonical form: 36 characters, lower case."""
    return str(uuid_utils.uuid7())


def is_id(text: str) -> bool:
    """Say whether ``text`` is a UUID in its canonical form."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
