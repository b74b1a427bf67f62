"""Connections to PostgreSQL: to the one host, of those that are named, that takes writes; every wait has a bound.

A URL may name several hosts (a primary and its standbys). They are tried one after the other, each for a bounded time
of its own, beginning with the one that served last: a machine that does not even refuse costs :data:`CONNECT_S`, and
the next is asked. A host counts only if it takes writes, so a promoted standby is found and a former primary is not.

There is no ``statement_timeout``, and none is taken over from the role or the database: a COMMIT that waits for a
synchronous standby would be cancelled by it, stay committed on one machine only, and look like a success.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from dynwork.errors import ConfigurationError, StoreUnavailableError

CONNECT_S = 2.0
"""How long one host may take to accept a connection, seconds."""

_SESSION = {
    "application_name": "dynwork",
    "statement_timeout": "0",
    "tcp_user_timeout": "10s",  # a machine that vanished holds no lock for longer
    "jit": "off",
}
SERVING = {
    **_SESSION,
    "lock_timeout": "5s",
    # A stalled orchestrator must not keep its locks: others wait for them.
    "idle_in_transaction_session_timeout": "2s",
    # Every statement here is a range scan in the order of an index. A planner whose statistics lag behind a queue that
    # grew from nothing to a million in a minute would think otherwise at times.
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_sort": "off",
}
"""For transactions. These settings make a plan dear, not impossible: where there is no index, rows are still found."""
UNBOUNDED = {**_SESSION, "lock_timeout": "0", "idle_in_transaction_session_timeout": "0"}
"""For migrations and checks, which may take their time."""

_NOT_ENCODED = (
    "DYNWORK_STORE_URL is not understood: a port in it is no number, or the password has characters that must be"
    " percent-encoded"
)

Warned = Callable[[asyncpg.Connection, asyncpg.PostgresLogMessage], None]


class Connector:
    """Opens connections to the database that ``dsn`` (a libpq URL) names. The URL may hold a password."""

    def __init__(self, dsn: str) -> None:
        """Raises ``ConfigurationError`` if a password is not encoded in a way that shows."""
        _refuse_stray_password(dsn)
        self._candidates = each_host(dsn)

    async def connect(self, settings: Mapping[str, str]) -> asyncpg.Connection:
        """Connect to the first host that takes writes.

        Raises ``StoreUnavailableError`` if none does, ``ConfigurationError`` if the URL makes no sense.
        """
        reasons: list[str] = []
        for dsn in list(self._candidates):
            try:
                connection = await asyncpg.connect(
                    dsn, timeout=CONNECT_S, target_session_attrs="read-write", server_settings=dict(settings)
                )
            # OSError first: a certificate that is not trusted is a ValueError as well.
            except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InternalClientError) as error:
                reasons.append(f"{_place(dsn)}: {_why(error, dsn)}")
                continue
            except asyncpg.ClientConfigurationError as error:
                raise ConfigurationError(f"DYNWORK_STORE_URL is not understood: {_why(error, dsn)}") from error
            except ValueError:  # it may quote what it took for a port, and that may be half of a password
                raise ConfigurationError(_NOT_ENCODED) from None
            self._candidates.remove(dsn)
            self._candidates.insert(0, dsn)
            return connection
        raise StoreUnavailableError(f"no PostgreSQL to write to: {'; '.join(reasons)}", retry_after_s=1)


def each_host(dsn: str) -> list[str]:
    """Return one URL a host; a list of hosts in the query (``?host=a,b``) is left to the driver."""
    parts = urlsplit(dsn)
    credentials, at, hosts = parts.netloc.rpartition("@")
    if "," not in hosts:
        return [dsn]
    return [urlunsplit(parts._replace(netloc=f"{credentials}{at}{host}")) for host in hosts.split(",")]


def _refuse_stray_password(dsn: str) -> None:
    """Refuse what a ``/``, ``?`` or ``#`` in a password tore apart: its rest would be shown as a host or a path."""
    parts = urlsplit(dsn)
    if "@" in parts.path + parts.fragment or (not parts.path and "@" in parts.query):
        raise ConfigurationError(_NOT_ENCODED)


def _why(error: Exception, dsn: str) -> str:
    """Return one line."""
    if isinstance(error, FileNotFoundError) and "sslrootcert=" in urlsplit(dsn).query:
        return "the file that sslrootcert names, or the socket, is not there"
    return " ".join(str(error).split()) or "no answer"


def _place(dsn: str) -> str:
    """Return what may be shown of a URL: no user, no password, no query, which may repeat them."""
    parts = urlsplit(dsn)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"
