"""Cursors, of the results feed and of lists: a place in a dress that nobody is tempted to count with.

A version byte, then the position in the feed (big-endian) or the 16 bytes of a job's id, in URL-safe base64. Only what
was encoded here decodes.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import struct
from typing import Any

from dynwork.errors import InvalidInputError
from dynwork.wire import POSITION_MAX

_FEED = struct.Struct(">BQ")
_FEED_VERSION = 1
_LIST = struct.Struct(">B16s")
_LIST_VERSION = 2
_GROUPS = (0, 8, 12, 16, 20, 32)
"""Where the groups of an id begin and end, in hex digits."""


def encode(position: int) -> str:
    """Return the cursor of the feed that goes on after ``position``."""
    return _write(_FEED.pack(_FEED_VERSION, position))


def decode(cursor: str) -> int:
    """Return the position. Raises ``InvalidInputError`` for anything that :func:`encode` never returned."""
    version, position = _read(_FEED, cursor) or (0, 0)
    if version != _FEED_VERSION or encode(position) != cursor or position > POSITION_MAX:
        raise _not_a_cursor("after")
    return int(position)


def encode_job(job_id: str) -> str:
    """Return the cursor of a list that goes on below this job."""
    return _write(_LIST.pack(_LIST_VERSION, bytes.fromhex(job_id.replace("-", ""))))


def decode_job(cursor: str) -> str:
    """Return the job's id. Raises ``InvalidInputError`` for anything that :func:`encode_job` never returned."""
    version, raw = _read(_LIST, cursor) or (0, bytes(16))
    job_id = "-".join(raw.hex()[start:end] for start, end in itertools.pairwise(_GROUPS))
    if version != _LIST_VERSION or encode_job(job_id) != cursor:
        raise _not_a_cursor("cursor")
    return job_id


def _write(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _read(form: struct.Struct, cursor: str) -> tuple[int, Any] | None:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        version, value = form.unpack(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, struct.error):
        return None
    return version, value


def _not_a_cursor(field: str) -> InvalidInputError:
    message = "not a cursor: pass on `next` from the page before, or leave it out"
    return InvalidInputError(f"{field}: {message}", errors=[{"field": field, "message": message}])
