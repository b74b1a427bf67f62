"""A cluster of several orchestrators over one PostgreSQL, whose every process the test starts and kills by itself.

with Site(folder, Plan([database_url, database_url])) as site, Crowd(site.api_urls) as crowd:
    site.orchestrators[0].kill()
    crowd.go_on(100)                        # a hundred more jobs were acknowledged
    site.orchestrators[0].start()
    crowd.settle()                          # every acknowledged id has one right result, at both readers
    assert_sound(database_url)              # dynwork check-store has nothing to say, and nobody was deadlocked
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg

from dynwork.settings import child_environment
from dynwork.testing.chaos.proxy import TcpProxy
from dynwork.testing.ensemble import metric
from dynwork.testing.processes import LoneRole, is_ready
from dynwork.testing.waiting import wait_until

CHECK_S_MAX = 60.0
LEADER_S_MAX = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a site is made of. ``store_urls``: one an orchestrator, as each reaches the same database.

    ``fronted``: callers reach orchestrators through proxies (:attr:`Site.fronts`). ``variables``: for every role.
    """

    store_urls: Sequence[str]
    apis: int = 2
    workers: int = 2
    fronted: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)


class Site:
    """Use as a context manager: everything is ready inside, and ended after."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        lone = {"DYNWORK_FLEET_PROVIDER": "none", **plan.variables}
        self.orchestrators = [
            LoneRole("orchestrator", folder, DYNWORK_STORE_URL=url, **lone) for url in plan.store_urls
        ]
        self.fronts = [TcpProxy(role.port) for role in self.orchestrators] if plan.fronted else []
        for role, front in zip(self.orchestrators, self.fronts, strict=False):
            role.set(DYNWORK_ORCHESTRATOR_URL=front.url)
        seeds = ",".join(reached.url for reached in self.fronts or self.orchestrators)
        found = {"DYNWORK_ORCHESTRATOR_URLS": seeds, "DYNWORK_WORKER_SLOTS": "1", **plan.variables}
        self.apis = [LoneRole("api", folder, **found) for _ in range(plan.apis)]
        self.workers = [LoneRole("worker", folder, **found) for _ in range(plan.workers)]
        self._ends = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as ends:
            for front in self.fronts:
                ends.enter_context(front)
            roles = [*self.orchestrators, *self.apis, *self.workers]
            for role in roles:
                ends.callback(role.kill)
                role.start(wait=False)
            for role in roles:
                role.await_ready()
            self._ends = ends.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    @property
    def api_urls(self) -> list[str]:
        """Where the APIs answer."""
        return [api.url for api in self.apis]

    def leader(self) -> LoneRole:
        """Wait until exactly one orchestrator that answers leads; return it."""

        def leading() -> LoneRole | None:
            answering = [role for role in self.orchestrators if role.alive() and is_ready(role.url)]
            leaders = [role for role in answering if metric(role.url, "dynwork_leading")]
            return leaders[0] if len(leaders) == 1 else None

        return wait_until(leading, "there is one leader", LEADER_S_MAX)

    def leases_expired(self) -> float:
        """Return how many leases the orchestrators that run now have taken back."""
        return sum(metric(role.url, "dynwork_leases_expired_total") for role in self.orchestrators)


def assert_sound(database_url: str) -> None:
    """Assert that ``dynwork check-store`` finds nothing, and that nobody in that database was ever deadlocked."""
    check = subprocess.run(
        [sys.executable, "-m", "dynwork", "check-store"],
        env=child_environment(DYNWORK_STORE_URL=database_url),
        capture_output=True,
        text=True,
        timeout=CHECK_S_MAX,
    )
    assert check.returncode == 0, check.stdout + check.stderr
    assert asyncio.run(_deadlocks(database_url)) == 0


async def _deadlocks(database_url: str) -> int:
    connection = await asyncpg.connect(database_url, target_session_attrs="read-write")
    try:
        found: int = await connection.fetchval(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        return found
    finally:
        await connection.close()
