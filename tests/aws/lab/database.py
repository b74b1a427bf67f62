"""Databases: for each that the cloud has, a real PostgreSQL with its user, password and database, at its own name.

It takes encrypted connections alone, as RDS does from PostgreSQL 15 on, and its user is no superuser. It is gone, with
all that it held, when the cloud's is.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from tests.aws.lab.cloud import Cloud
from tests.aws.lab.names import Names
from tests.aws.lab.network import Network
from tests.aws.lab.watcher import Watcher

from dynwork.testing.chaos.proxy import TcpProxy
from dynwork.testing.postgres import IN_A_HURRY
from dynwork.up.ports import free_api_port
from dynwork.up.postgres import DATABASE, SUPERUSER, LocalPostgres, ServerOptions

LOOK_S = 0.3
ADMINISTRATOR, PASSWORD = "rdsadmin", "of-the-lab"


@dataclass(slots=True)
class Running:
    """One that runs. ``ends``: what its end is."""

    address: str
    said: dict[str, Any]
    server: LocalPostgres
    ends: contextlib.ExitStack


class RunningDatabases(Watcher):
    """Those that the cloud has."""

    def __init__(self, network: Network, cloud_url: str, names: Names, folder: Path) -> None:
        super().__init__("databases")
        self._network = network
        self._url = cloud_url
        self._names = names
        self._folder = folder
        self._running: dict[str, Running] = {}
        self._made = 0

    def watch(self) -> None:
        """See :meth:`Watcher.watch`."""
        cloud = Cloud(self._url)
        try:
            with self._network.at_the_edge():
                while not self.stop.wait(LOOK_S):
                    self._follow({one["name"]: one for one in cloud.databases()})
        finally:
            for running in self._running.values():
                running.ends.close()
            cloud.close()

    def _follow(self, wanted: dict[str, dict[str, Any]]) -> None:
        for name in self._running.keys() - wanted.keys():
            self._running.pop(name).ends.close()
        for name in wanted.keys() - self._running.keys():
            self._running[name] = self._start(wanted[name])
        for name, said in wanted.items():
            if self._running[name].said != said:
                asyncio.run(_let_in(self._running[name].server, said))
                self._running[name].said = said

    def _start(self, said: dict[str, Any]) -> Running:
        self._made += 1
        folder = self._folder / f"database-{self._made}"
        with contextlib.ExitStack() as ends:
            server = LocalPostgres(ServerOptions(folder, free_api_port(), IN_A_HURRY), lambda: PASSWORD)
            server.start()
            ends.callback(server.stop)
            asyncio.run(_give_up(server))
            asyncio.run(_let_in(server, said))
            address = self._network.add_edge()
            ends.callback(self._network.drop_edge, address)
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(*_certificate(folder, said["name"]))
            ends.enter_context(TcpProxy(server.options.port, tls, address, said["port"]))
            self._names.add(said["name"], address)
            ends.callback(self._names.drop, said["name"])
            return Running(address, said, server, ends.pop_all())


def _certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a certificate that vouches for itself; nobody is asked to trust it with ``sslmode=require``."""
    certificate, key = folder / "server.pem", folder / "server.key"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    whose = ["-subj", "/CN=database", "-addext", f"subjectAltName=DNS:{name}"]
    files = ["-out", str(certificate), "-keyout", str(key)]
    subprocess.run(["openssl", "req", *kind, *whose, *files], check=True, capture_output=True)
    return certificate, key


@contextlib.asynccontextmanager
async def _connected(server: LocalPostgres, user: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(
        host="127.0.0.1", port=server.options.port, user=user, password=PASSWORD, database=DATABASE
    )
    try:
        yield connection
    finally:
        await connection.close()


async def _give_up(server: LocalPostgres) -> None:
    """Let the superuser be another: whom a template names is none."""
    async with _connected(server, SUPERUSER) as connection:
        await connection.execute(f"CREATE ROLE {ADMINISTRATOR} SUPERUSER LOGIN PASSWORD '{PASSWORD}'")
    async with _connected(server, ADMINISTRATOR) as connection:
        await connection.execute(f"ALTER ROLE {SUPERUSER} RENAME TO nobody")


async def _let_in(server: LocalPostgres, said: dict[str, Any]) -> None:
    """Let there be the user, with the password, and the database."""
    user, name, secret = said["user"], said["database"], said["password"].replace("'", "''")
    async with _connected(server, ADMINISTRATOR) as connection:
        known = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", user)
        verb = "ALTER" if known else "CREATE"
        await connection.execute(f"{verb} ROLE \"{user}\" LOGIN CREATEDB CREATEROLE PASSWORD '{secret}'")
        if name and not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await connection.execute(f'CREATE DATABASE "{name}" OWNER "{user}"')
