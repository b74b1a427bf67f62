"""What the orchestrator tells Prometheus. No label has values that grow: no job, worker or key ids."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_ROUND_ITEMS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_ROUND_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """The orchestrator's own numbers, on an injected registry. Counters count what THIS process did."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.round_items = Histogram(
            "dynwork_round_items", "Items in one committed round.", buckets=_ROUND_ITEMS, registry=registry
        )
        self.round_seconds = Histogram(
            "dynwork_round_seconds", "Duration of one commit, seconds.", buckets=_ROUND_SECONDS, registry=registry
        )
        self.items_poisoned = Counter(
            "dynwork_round_items_poisoned", "Items that failed alone after their round had failed.", registry=registry
        )
        self.waiting = Gauge("dynwork_round_waiting", "Requests waiting for a round.", ["kind"], registry=registry)
        self.submitted = Counter("dynwork_jobs_submitted", "Jobs that were new.", registry=registry)
        self.cancelled = Counter("dynwork_jobs_cancelled", "Jobs cancelled by their owner.", registry=registry)
        self.reports = Counter(
            "dynwork_reports", "Reports of workers, repeated ones included.", ["event", "verdict"], registry=registry
        )
        self.granted = Counter("dynwork_grants", "Leases handed out, repeated ones included.", registry=registry)
        self.expired = Counter("dynwork_leases_expired", "Leases whose worker fell silent or died.", registry=registry)
        self.parked = Gauge("dynwork_asks_parked", "Asks for work that wait.", registry=registry)
        self.jobs = Gauge("dynwork_jobs", "Jobs kept, by state.", ["state"], registry=registry)
        self.backlog_steps = Gauge("dynwork_backlog_steps", "Work ahead, steps.", registry=registry)
        self.backlog_seconds = Gauge(
            "dynwork_backlog_seconds",
            "Work ahead for the present fleet, seconds; NaN without one, or if a kind in it was never measured.",
            registry=registry,
        )
        self.oldest_wait_seconds = Gauge(
            "dynwork_oldest_wait_seconds", "How long the first job in line has been due, seconds.", registry=registry
        )
        self.workers = Gauge("dynwork_workers", "Workers, by state.", ["state"], registry=registry)
        self.launches = Counter(
            "dynwork_fleet_launches", "Launch calls, by what became of each.", ["outcome"], registry=registry
        )
        self.fleet_stopped = Gauge(
            "dynwork_fleet_stopped",
            "Whether launches have stopped until somebody mends what GET /fleet names in its decision.",
            registry=registry,
        )
        self.sweep_lag_seconds = Gauge(
            "dynwork_sweep_lag_seconds", "How much later than planned the last sweep began, seconds.", registry=registry
        )
        self.clock_error_seconds = Gauge(
            "dynwork_clock_error_seconds",
            "How far this orchestrator's clock was ahead of the store's when it was last corrected, seconds.",
            registry=registry,
        )
        self.leading = Gauge("dynwork_leading", "Whether this orchestrator is the leader.", registry=registry)
        self.store_errors = Counter(
            "dynwork_store_errors", "Times the store could not serve.", ["during"], registry=registry
        )
