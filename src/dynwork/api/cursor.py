"""Cursors of the results feed: a position in a dress that nobody is tempted to count with.

One version byte and the position, big-endian, in URL-safe base64: always twelve characters. Only what was encoded
here decodes.
"""

from __future__ import annotations

import base64
import binascii
import struct

from dynwork.errors import InvalidInputError

_FORM = struct.Struct(">BQ")
_VERSION = 1


def encode(position: int) -> str:
    """Return the cursor that goes on after ``position``."""
    return base64.urlsafe_b64encode(_FORM.pack(_VERSION, position)).decode("ascii")


def decode(cursor: str) -> int:
    """Return the position. Raises ``InvalidInputError`` for anything that :func:`encode` never returned."""
    try:
        version, position = _FORM.unpack(base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, struct.error):
        version, position = 0, 0
    if version != _VERSION or encode(position) != cursor or position >= 2**63:
        message = "not a cursor: pass on `next` from the page before, or leave it out"
        raise InvalidInputError(f"after: {message}", errors=[{"field": "after", "message": message}])
    return int(position)
