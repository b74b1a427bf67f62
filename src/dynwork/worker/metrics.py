"""What a worker counts, for Prometheus. No label has values that grow: kinds are installed, verdicts are three."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """The metrics of one worker, on a registry of its own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.steps = Counter(
            "dynwork_worker_steps",
            "Steps advanced; they may yet be lost with this process.",
            ["kind"],
            registry=registry,
        )
        self.slices = Counter(
            "dynwork_worker_slices", "Batches of chains that lanes gave back.", ["kind"], registry=registry
        )
        self.reports = Counter(
            "dynwork_worker_reports",
            "Reports that were answered, by what was reported and the verdict.",
            ["verb", "verdict"],
            registry=registry,
        )
        self.heartbeat_failures = Counter(
            "dynwork_worker_heartbeat_failures", "Heartbeats that no orchestrator answered.", registry=registry
        )
        self.lane_deaths = Counter(
            "dynwork_worker_lane_deaths", "Lane processes that died or hung under this worker.", registry=registry
        )

    def watch(self, held: Callable[[], float], capacity: Callable[[], float], chain_speed: Callable[[], float]) -> None:
        """Read these whenever the metrics are read."""
        for name, text, read in (
            ("chains_held", "Leases held, those with a report under way included.", held),
            ("capacity_steps_per_second", "Measured speed with all lanes full.", capacity),
            ("chain_speed_steps_per_second", "Measured speed of one chain.", chain_speed),
        ):
            Gauge(f"dynwork_worker_{name}", text, registry=self._registry).set_function(read)
