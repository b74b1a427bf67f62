"""The options of the URL that say whom to trust: a server that cannot prove who it is gets neither password nor job."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dynwork.errors import StoreUnavailableError
from dynwork.orchestrator.store.postgres import PostgresStore
from dynwork.orchestrator.store.values import Rules
from dynwork.testing.chaos.proxy import TcpProxy


def certificate(folder: Path, name: str) -> Path:
    """Make a certificate that vouches for itself, for this machine's loopback address; its key is beside it."""
    file = folder / f"{name}.pem"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    whose = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-out", str(file), "-keyout", str(file.with_suffix(".key"))]
    subprocess.run(["openssl", "req", *kind, *whose, *files], check=True, capture_output=True)
    return file


@pytest.fixture
def wire(url: str, tmp_path: Path) -> Iterator[TcpProxy]:
    server = certificate(tmp_path, "server")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(server, server.with_suffix(".key"))
    with TcpProxy(urlsplit(url).port or 0, tls) as wire:
        yield wire


async def is_served(url: str, wire: TcpProxy, host: str, trusted: Path) -> bool:
    parts = urlsplit(url)
    reached = f"{parts.username}:{parts.password}@{host}:{wire.port}"
    store = PostgresStore(
        f"postgresql://{reached}{parts.path}?sslmode=verify-full&sslrootcert={trusted}", Rules(), "http://o"
    )
    try:
        await store.open()
    except StoreUnavailableError:
        return False
    finally:
        await store.close()
    return True


async def test_a_server_with_the_trusted_certificate_is_used(url: str, wire: TcpProxy, tmp_path: Path) -> None:
    assert await is_served(url, wire, "127.0.0.1", tmp_path / "server.pem")


async def test_a_server_that_is_not_whom_the_url_names_is_not(url: str, wire: TcpProxy, tmp_path: Path) -> None:
    assert not await is_served(url, wire, "127.0.0.1", certificate(tmp_path, "another"))
    assert not await is_served(url, wire, "localhost", tmp_path / "server.pem")
