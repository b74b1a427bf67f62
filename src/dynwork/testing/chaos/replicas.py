"""A PostgreSQL primary with a synchronous standby: what is acknowledged is on both, so either may be lost.

with Replicas(tmp_path) as replicas:
    orchestrator = LoneRole(..., DYNWORK_STORE_URL=replicas.url())
    replicas.primary.kill(); replicas.promote()
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from dynwork.testing.processes import free_port
from dynwork.up.postgres import DATABASE, SUPERUSER, LocalPostgres, ServerOptions

PASSWORD = "not-a-secret"  # noqa: S105 - of servers on loopback that live as long as a test
STANDBY = "standby"


class Replicas:
    """Both servers. Nobody promotes by itself: that is the operator's part, or a managed database's."""

    def __init__(self, folder: Path) -> None:
        synchronous = {"synchronous_standby_names": STANDBY}
        self.primary = LocalPostgres(ServerOptions(folder / "primary", free_port(), synchronous), lambda: PASSWORD)
        self.standby = LocalPostgres(ServerOptions(folder / "standby", free_port()), lambda: PASSWORD)

    def __enter__(self) -> Self:
        try:
            self.primary.start()
            self._copy()
            self.standby.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def url(self, *ports: int) -> str:
        """Return the URL of both, the primary first; ``ports``: where they are to be reached instead."""
        reached = ports or (self.primary.options.port, self.standby.options.port)
        hosts = ",".join(f"127.0.0.1:{port}" for port in reached)
        return f"postgresql://{SUPERUSER}:{PASSWORD}@{hosts}/{DATABASE}"

    def promote(self) -> None:
        """Make the standby a primary; returns when it takes writes."""
        data = self.standby.data
        self.standby.run_tool("pg_ctl", ["promote", "--wait", "-D", self.standby.named(data)], data)

    def _copy(self) -> None:
        draft = self.standby.prepare()
        source = (
            f"host=127.0.0.1 port={self.primary.options.port} user={SUPERUSER} password={PASSWORD}"
            f" application_name={STANDBY}"
        )
        arguments = ["-d", source, "--write-recovery-conf", "--wal-method", "stream", "--checkpoint", "fast"]
        self.standby.run_tool("pg_basebackup", [*arguments, "--no-sync", "-D", self.standby.named(draft)], draft)
        draft.rename(self.standby.data)

    def _end(self) -> None:
        for server in (self.standby, self.primary):
            server.kill()
