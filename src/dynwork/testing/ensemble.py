"""A cluster whose every process the test starts and ends by itself: nobody replaces what it kills or stops.

with Ensemble(tmp_path, workers=2, DYNWORK_LEASE_S="3", DYNWORK_HEARTBEAT_S="1") as cluster:
    cluster.orchestrator.kill()
    cluster.orchestrator.start()
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from dynwork.testing.feed import Apis
from dynwork.testing.processes import LoneRole
from dynwork.testing.waiting import wait_until
from dynwork.wire import Fleet


class Ensemble:
    """One orchestrator without a fleet provider, one API, and workers; each a :class:`LoneRole`."""

    def __init__(self, data_dir: Path, variables: Mapping[str, str], workers: int = 1) -> None:
        """``variables``: settings for every role."""
        self.orchestrator = LoneRole("orchestrator", data_dir, DYNWORK_FLEET_PROVIDER="none", **variables)
        found = {"DYNWORK_ORCHESTRATOR_URLS": self.orchestrator.url, "DYNWORK_WORKER_SLOTS": "1", **variables}
        self.api = LoneRole("api", data_dir, **found)
        self.workers = [LoneRole("worker", data_dir, **found) for _ in range(workers)]

    def __enter__(self) -> Self:
        try:
            self.orchestrator.start(wait=False)
            for role in (self.api, *self.workers):
                role.start(wait=False)
            for role in (self.orchestrator, self.api, *self.workers):
                role.await_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def api_urls(self) -> list[str]:
        """Where the API answers."""
        return [self.api.url]

    def worker(self, worker_id: str | None) -> LoneRole:
        """Return the worker that ``GET /fleet`` calls ``worker_id``; it may be a second until it is listed."""
        with Apis(self.api_urls) as apis:

            def listed() -> LoneRole | None:
                reply = apis.get("/fleet")
                workers = Fleet.model_validate_json(reply.content).workers if reply is not None else []
                pids = {worker.pid for worker in workers if worker.worker_id == worker_id}
                return next((role for role in self.workers if role.pid in pids), None)

            return wait_until(listed, f"{worker_id} is listed in the fleet")

    def _end(self) -> None:
        for role in (self.api, *self.workers, self.orchestrator):
            if role.alive():
                role.kill()


def lanes_of(pid: int) -> list[int]:
    """Return the lane processes of a worker."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [child.pid for child in psutil.Process(pid).children()]
    return []


def metric(url: str, name: str, **labels: str) -> float:
    """Return what ``/metrics`` of a role shows under ``name``, summed over what ``labels`` leave open."""
    page = httpx.get(f"{url}/metrics", timeout=5.0, trust_env=False).raise_for_status().text
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())
