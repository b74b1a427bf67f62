"""What a worker counts, for Prometheus. No label has values that grow: kinds are installed, verdicts are three."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

MOMENTS_S = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.03, 0.04, 0.05),
    *(0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5),
)
"""Upper bounds of buckets for what should take milliseconds, seconds."""


class Metrics:
    """The metrics of one worker, on a registry of its own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self.kernel = Info(
            "dynwork_worker_kernel",
            "The path that computes the built-in chain, and how many chains it moves at a time (label lanes).",
            registry=registry,
        )
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

        self.leaving = Histogram(
            "dynwork_worker_leaving_seconds",
            "From an order (cancelled, stale, drain, stop) to the chain out of its lane.",
            registry=registry,
            buckets=MOMENTS_S,
        )
        self.loop_lag = Histogram(
            "dynwork_worker_loop_lag_seconds",
            "How much later than asked for the event loop ran, twenty times a second.",
            registry=registry,
            buckets=MOMENTS_S,
        )
        self.heartbeat_lag = Histogram(
            "dynwork_worker_heartbeat_lag_seconds",
            "From the time that a heartbeat was due to its answer.",
            registry=registry,
            buckets=MOMENTS_S,
        )

    def watch(self, held: Callable[[], float], capacity: Callable[[], float], chain_speed: Callable[[], float]) -> None:
        """Read these whenever the metrics are read."""
        for name, text, read in (
            ("chains_held", "Leases held, those with a report under way included.", held),
            ("capacity_steps_per_second", "Measured speed with all lanes full.", capacity),
            ("chain_speed_steps_per_second", "Measured speed of one chain.", chain_speed),
        ):
            Gauge(f"dynwork_worker_{name}", text, registry=self._registry).set_function(read)
