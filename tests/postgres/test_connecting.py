"""Of several hosts the one that takes writes is found; what does not answer costs a bounded time, and no secret."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from dynwork.errors import ConfigurationError, StoreUnavailableError
from dynwork.orchestrator.store.postgres import connecting
from dynwork.orchestrator.store.postgres.connecting import SERVING, Connector, each_host
from dynwork.testing.postgres import Databases
from dynwork.up.ports import free_api_port


@pytest.mark.parametrize(
    ("dsn", "hosts"),
    [
        ("postgresql://h/db", ["postgresql://h/db"]),
        (
            "postgresql://me:p%40ss@h1:1,h2/db?sslmode=verify-full",
            [f"postgresql://me:p%40ss@{host}/db?sslmode=verify-full" for host in ("h1:1", "h2")],
        ),
        ("postgresql://[::1]:5,h2/db", ["postgresql://[::1]:5/db", "postgresql://h2/db"]),
        ("postgresql:///db?host=/run/postgresql", ["postgresql:///db?host=/run/postgresql"]),
        ("postgresql:///db?host=h1,h2&port=1,2", ["postgresql:///db?host=h1,h2&port=1,2"]),
    ],
)
def test_a_url_of_several_hosts_is_taken_apart(dsn: str, hosts: list[str]) -> None:
    assert each_host(dsn) == hosts


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections and never says a word, as a machine does that is half dead."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield silent.getsockname()[1]


def beside(url: str, *ports: int) -> str:
    """Put other hosts before the one of ``url``."""
    netloc = urlsplit(url).netloc
    credentials, _, host = netloc.rpartition("@")
    others = "".join(f"127.0.0.1:{port}," for port in ports)
    return url.replace(netloc, f"{credentials}@{others}{host}")


async def name_of_database(connection: asyncpg.Connection) -> str:
    name: str = await connection.fetchval("SELECT current_database()")
    await connection.close()
    return name


async def test_hosts_that_refuse_or_are_silent_are_passed_over_and_asked_last_from_then_on(
    url: str, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "CONNECT_S", 1.0)
    connector = Connector(beside(url, free_api_port(), silent_port))
    assert await name_of_database(await connector.connect(SERVING)) == urlsplit(url).path[1:]
    monkeypatch.setattr(asyncpg, "connect", refuse_all_but(urlsplit(url).port or 0))
    await (await connector.connect(SERVING)).close()


async def test_a_host_that_takes_no_writes_does_not_count(url: str, databases: Databases) -> None:
    name = urlsplit(url).path[1:]
    await databases.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    try:
        with pytest.raises(StoreUnavailableError, match="no PostgreSQL to write to"):
            await Connector(url).connect(SERVING)
    finally:
        await databases.run(f"ALTER DATABASE {name} RESET default_transaction_read_only")


async def test_what_is_said_about_a_host_has_no_password(url: str) -> None:
    secret = url.replace("for tests", "hidden") + "?password=hidden"
    with pytest.raises(StoreUnavailableError) as failure:
        await Connector(secret).connect(SERVING)
    assert "hidden" not in failure.value.detail
    assert f"127.0.0.1:{urlsplit(url).port}{urlsplit(url).path}" in failure.value.detail


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://h:port/db",
        "postgresql://h/db?sslmode=perhaps",
        "postgresql://me:not@encoded:hidden@h/db",
        "postgresql://me:not@encoded/hidden@h/db",
        "postgresql://me:12#hidden@h/db",
        "postgresql://me:12?hidden@h/db",
    ],
)
async def test_a_url_that_makes_no_sense_is_a_wrong_setting(dsn: str) -> None:
    with pytest.raises(ConfigurationError, match="DYNWORK_STORE_URL") as refusal:
        await Connector(dsn).connect(SERVING)
    assert "hidden" not in refusal.value.detail
    assert refusal.value.__cause__ is None or "hidden" not in str(refusal.value.__cause__)


async def test_a_certificate_that_is_not_there_is_named_as_what_is_missing(url: str, tmp_path: Path) -> None:
    missing = f"{url}?sslmode=verify-full&sslrootcert={tmp_path / 'none.pem'}"
    with pytest.raises(StoreUnavailableError, match="sslrootcert"):
        await Connector(missing).connect(SERVING)


async def test_what_is_wrong_is_said_in_one_line(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigurationError) as refusal:
        await Connector(f"{url}?sslmode=verify-full").connect(SERVING)
    assert "\n" not in refusal.value.detail


def refuse_all_but(port: int) -> object:
    connect = asyncpg.connect

    async def picky(dsn: str, **options: object) -> asyncpg.Connection:
        assert urlsplit(dsn).port == port, "the host that served last is asked first"
        return await connect(dsn, **options)

    return picky
