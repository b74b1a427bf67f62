"""What an API instance counts. No label has values that grow: routes are templates, never paths."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH_JOBS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)


class Metrics:
    """The instruments, in a registry of their own: several apps in one process do not mix."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "dynwork_api_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "dynwork_api_request_seconds",
            "From the first byte of a request to the end of its answer, seconds.",
            ["method", "route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.received = Counter("dynwork_api_received_bytes", "Bytes of buffers hashed.", registry=registry)
        self.pending = Gauge(
            "dynwork_api_pending_submissions", "Submissions being read or waiting to be durable.", registry=registry
        )
        self.waiting = Gauge(
            "dynwork_api_waiting_requests",
            "Requests that wait for jobs to end, pages that watch included.",
            registry=registry,
        )
        self.batch_jobs = Histogram(
            "dynwork_api_submit_batch_jobs", "Jobs in one call.", buckets=BATCH_JOBS, registry=registry
        )
        self.calls = Counter(
            "dynwork_api_orchestrator_calls",
            "Calls to orchestrators; answered, refused, or failed at every one of them.",
            ["call", "outcome"],
            registry=registry,
        )
