"""What a worker delivers of what the kernel can do, lease to result: an API, an orchestrator, a worker of two slots.

    make bench-worker, or python -m benchmarks.worker [--runs 5] [--seconds 10]

All on this machine: the other roles take their part of the two cores, as they do in `dynwork up`. In every run, one
after the other: the bare kernel in two threads, long jobs of equal length (four for each lane, so that the last ones
fill the lanes as well), the bare kernel, a mix of jobs from 1 to 10^6 iterations (log-uniform), the bare kernel. Jobs
are queued before the worker starts; the rate is the steps of all jobs by the time from the first start to the last
completion, as the orchestrator has them. It is compared with the mean of the two bare rates beside it. One hash in a
hundred is checked.

After that, from the worker's metrics: how late its event loop and its heartbeats were under this load, and how long an
order (here: cancelled jobs) takes from the heartbeat's answer until the chain is out of its lane.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil
from benchmarks.local import Connection, Site, chain, cpu_s, follow, newest_cursor, put_all, ready, site
from prometheus_client.parser import text_string_to_metric_families

from dynwork import kinds
from dynwork.kinds import Kind

SLOTS = 2
WAVES, LONGEST_OF_MIX = 4, 10**6
HEARTBEAT_S = 3.0
SLICE_S = 0.025
SEED = 20261124
LAGS = {
    "dynwork_worker_loop_lag_seconds": "event loop late by",
    "dynwork_worker_heartbeat_lag_seconds": "heartbeat due to answered",
    "dynwork_worker_leaving_seconds": "cancelled to out of the lane",
}
Jobs = Sequence[tuple[bytes, int]]
Buckets = Counter[float]


@dataclass(frozen=True)
class Delivered:
    """What one load showed."""

    steps_per_s: float
    cpu_ms_per_job: tuple[float, float]
    """Of the orchestrator and the API, while the worker worked."""


def bare(kind: Kind, seconds: float) -> float:
    """Return what the kernel makes in two threads, all lanes full, in steps per second."""
    rates: list[float] = []

    def advance() -> None:
        states, remaining, steps = [bytes(64)] * kind.lanes, [10**15] * kind.lanes, 0
        began = time.perf_counter()
        while (passed := time.perf_counter() - began) < seconds:
            states, made = kind.advance(states, remaining, 10**18, SLICE_S)
            steps += sum(made)
        rates.append(steps / passed)

    threads = [threading.Thread(target=advance) for _ in range(SLOTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)


async def deliver(where: Site, others: list[psutil.Process], jobs: Jobs, lags: Mapping[str, Buckets]) -> Delivered:
    """Queue ``jobs``, start a worker, wait for all results; add what its metrics say to ``lags``."""
    cursor = await newest_cursor(where.api)
    accepted = await put_all(where.api, jobs, connections=16)
    used = cpu_s(others)
    with where.running("worker"):
        results = await follow(where.api, cursor, len(jobs), pause_s=0.25)
        used = [after - before for before, after in zip(used, cpu_s(others), strict=True)]
        await read_lags(where, lags)
    for job_id in itertools.islice(accepted, 0, None, 100):
        assert results[job_id]["hash"] == chain(*accepted[job_id]), f"wrong hash for {job_id}"
    connection = await Connection(where.api).open()
    to_advance = [job_id for job_id, (_, iterations) in accepted.items() if iterations > 1]
    in_order = sorted(to_advance)[:100]  # by the time of submission: the first of them started first
    started = min([(await connection.json("GET", f"/jobs/{job_id}"))["started_at"] for job_id in in_order])
    connection.close()
    seconds = _instant(max(result["completed_at"] for result in results.values())) - _instant(started)
    steps = sum(iterations - 1 for _, iterations in jobs)
    orchestrator, api = (1000 * role_s / len(jobs) for role_s in used)
    return Delivered(steps / seconds, (orchestrator, api))


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def cancel(where: Site, chains: int, lags: Mapping[str, Buckets]) -> None:
    """Cancel a chain in each lane of a worker, one after the other; add how long they stayed to ``lags``."""
    with where.running("worker"):
        accepted = await put_all(where.api, [(bytes([index]), 10**12) for index in range(chains)], 1)
        connection = await Connection(where.api).open()
        while (await connection.json("GET", "/stats"))["leased"] < chains:  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.1)
        for job_id in accepted:
            await connection.json("DELETE", f"/jobs/{job_id}")
            await asyncio.sleep(HEARTBEAT_S / chains)
        connection.close()
        await asyncio.sleep(HEARTBEAT_S)
        await read_lags(where, lags)


async def read_lags(where: Site, lags: Mapping[str, Buckets]) -> None:
    """Add what the worker's histograms hold to ``lags``: how many of each bucket, by its upper bound."""
    connection = await Connection(where.worker).open()
    _, text = await connection.request("GET", "/metrics")
    connection.close()
    for family in text_string_to_metric_families(text.decode()):
        if family.name in lags:
            below = 0.0
            for sample in family.samples:
                if sample.name.endswith("_bucket"):
                    lags[family.name][float(sample.labels["le"])] += int(sample.value - below)
                    below = sample.value


def quantile(buckets: Buckets, share: float) -> float:
    """Return the upper bound of the bucket where ``share`` of all is reached."""
    wanted, below = share * buckets.total(), 0
    for bound in sorted(buckets):
        below += buckets[bound]
        if below >= wanted:
            return bound
    return float("nan")


async def measure(arguments: argparse.Namespace, folder: Path) -> None:
    kind, rng, where = kinds.named(kinds.DEFAULT_KIND), random.Random(SEED), site(folder)
    if not kind.releases_gil:
        raise SystemExit("the native kernel is not built here: there is nothing to compare with")
    lags = {name: Buckets() for name in LAGS}
    shares: dict[str, list[float]] = {"long": [], "mix": []}
    print(
        f"{'':>9} {'bare, M/s':>10} {'worker, M/s':>12} {'of bare':>8} {'jobs':>6} {'orchestr. ms/job':>17} {'API':>5}"
    )
    with where.running("orchestrator", "api") as others:
        await ready(where.api)
        before = bare(kind, arguments.seconds / 5)
        for _ in range(arguments.runs):
            for name in shares:
                jobs = _jobs(name, before * arguments.seconds, WAVES * SLOTS * kind.lanes, rng)
                delivered = await deliver(where, others, jobs, lags)
                after = bare(kind, arguments.seconds / 5)
                beside = (before + after) / 2
                before = after
                shares[name].append(delivered.steps_per_s / beside)
                orchestrator, api = delivered.cpu_ms_per_job
                print(
                    f"{name:>9} {beside / 1e6:>10.2f} {delivered.steps_per_s / 1e6:>12.2f} {shares[name][-1]:>8.1%}"
                    f" {len(jobs):>6} {orchestrator:>17.2f} {api:>5.2f}",
                    flush=True,
                )
            await cancel(where, SLOTS * kind.lanes, lags)
    for name, values in shares.items():
        print(f"{name}: median {statistics.median(values):.1%} of the bare kernel in two threads")
    for name, text in LAGS.items():
        at = " ".join(f"{label} {1000 * quantile(lags[name], share):g}" for label, share in QUANTILES)
        print(f"{text}, at most, ms: {at} ({lags[name].total()} times)")


QUANTILES = (("p50", 0.5), ("p99", 0.99), ("max", 1.0))


def _jobs(name: str, steps: float, long: int, rng: random.Random) -> Jobs:
    """Make jobs of about so many steps in all; ``long``: how many long ones."""
    if name == "long":
        return [(rng.randbytes(64), 1 + int(steps / long)) for _ in range(long)]
    jobs, left = [], steps
    while left > 0:
        iterations = round(LONGEST_OF_MIX ** rng.random())
        jobs.append((rng.randbytes(64), iterations))
        left -= iterations
    return jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="work of one load, at the speed of the bare kernel")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dynwork-bench-") as folder:
        asyncio.run(measure(arguments, Path(folder)))


if __name__ == "__main__":
    main()
