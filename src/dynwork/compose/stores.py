"""Builds the store that the settings name, for orchestrators and for the commands that look after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from dynwork.errors import ConfigurationError
from dynwork.orchestrator.store.port import Store
from dynwork.orchestrator.store.values import Rules
from dynwork.settings import StoreSettings

SQLITE, POSTGRES = ("sqlite",), ("postgresql", "postgres")
OPERATOR = "an operator's command"
"""What stands in the place of an orchestrator's URL where there is none: nothing is written under it."""

T = TypeVar("T")


def store(settings: StoreSettings, rules: Rules, shard: str) -> Store:
    """Return the store, not opened yet. ``shard``: the URL of the orchestrator that will use it.

    Raises ``ConfigurationError``, without repeating the URL, which may hold a password.
    """
    if is_shared(settings):
        from dynwork.orchestrator.store.postgres import PostgresStore  # each engine loads its driver, and no other's

        return PostgresStore(_url(settings), rules, shard)
    from dynwork.orchestrator.store.sqlite import SqliteStore

    return SqliteStore(_path(settings), rules)


def is_shared(settings: StoreSettings) -> bool:
    """Say whether several orchestrators may use the store at once. Raises ``ConfigurationError`` as :func:`store`."""
    scheme, separator, rest = _url(settings).partition("://")
    if scheme in POSTGRES and separator:
        return True
    if scheme in SQLITE and rest.startswith("/") and rest != "/":
        return False
    raise ConfigurationError(
        "DYNWORK_STORE_URL must be sqlite:///PATH, e.g. sqlite:////var/lib/dynwork/dynwork.db, or"
        " postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with several hosts separated by commas"
    )


async def migrate(settings: StoreSettings) -> str:
    """Bring the store to this release's schema; return the id of its cluster.

    Raises ``StoreLockedError`` if it is SQLite's and an orchestrator has it open, ``StoreUnavailableError`` if it does
    not answer.
    """

    async def opened(opening: Store) -> str:
        await opening.open()
        return await opening.cluster_id()

    return await _with(settings, opened)


async def check(settings: StoreSettings) -> Sequence[str]:
    """Return a sentence for each invariant that the store does not keep; it may be in use meanwhile.

    Raises ``StoreUnavailableError`` if it does not answer, ``ConfigurationError`` if it is a file that is not there.
    """
    if not is_shared(settings) and not (path := _path(settings)).exists():
        raise ConfigurationError(
            f"there is no store at {path}: DYNWORK_STORE_URL, or DYNWORK_DATA_DIR, must name the one to look at"
        )
    return await _with(settings, lambda opening: opening.check())


async def _with(settings: StoreSettings, act: Callable[[Store], Awaitable[T]]) -> T:
    opening = store(settings, Rules(), OPERATOR)
    try:
        return await act(opening)
    finally:
        await opening.close()


def _path(settings: StoreSettings) -> Path:
    return Path(_url(settings).partition(":///")[2])


def _url(settings: StoreSettings) -> str:
    if settings.store_url is None:
        return f"sqlite:///{settings.data_dir / 'dynwork.db'}"
    return settings.store_url.get_secret_value()
