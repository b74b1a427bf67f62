"""What an error of the database means for a transaction that met it.

The codes are PostgreSQL's SQLSTATEs (appendix A of its manual); the first two characters are the class.
"""

from __future__ import annotations

from enum import Enum, auto

from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError

_COLLISIONS = frozenset({"23505", "40001", "40P01"})
"""Two orchestrators inserted the same row; serialization failure; deadlock. Nothing happened: once more."""
_DEFECT_CLASSES = frozenset({"0A", "21", "22", "23", "42"})
"""Not supported, cardinality, data, integrity, syntax: the statement or its values are to blame."""


_NOTHING_SENT = "cannot switch to state"
"""What the driver says of a connection that the server has just ended, before it has noticed that it is closed."""


class Meaning(Enum):
    """What to do about it."""

    COLLISION = auto()
    """The transaction was rolled back because of another, of a migration beside it, or before it began: once more."""
    AWAY = auto()
    """The database cannot serve just now; what was sent last may have taken effect."""
    DEFECT = auto()
    """The same statement would fail again."""


def meaning(error: DBAPIError) -> Meaning:
    """Tell what ``error`` means. Without a code it is the driver's: the connection is gone, or a value is no such."""
    sqlstate = sqlstate_of(error)
    if sqlstate in _COLLISIONS or isinstance(error.orig, AsyncAdapt_asyncpg_dbapi.InvalidCachedStatementError):
        return Meaning.COLLISION
    if isinstance(error.orig, AsyncAdapt_asyncpg_dbapi.InternalClientError):
        return Meaning.COLLISION if _NOTHING_SENT in str(error.orig) else Meaning.AWAY
    if sqlstate is None:
        return Meaning.AWAY if error.connection_invalidated else Meaning.DEFECT
    return Meaning.DEFECT if sqlstate[:2] in _DEFECT_CLASSES else Meaning.AWAY


def sqlstate_of(error: DBAPIError) -> str | None:
    """Return the code that the server gave."""
    code: str | None = getattr(error.orig, "sqlstate", None)
    return code
