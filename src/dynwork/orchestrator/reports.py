"""What workers say: heartbeats, and reports that end leases.

Every report gets one verdict, in the order sent; a worker that repeats a message gets the same again. A report that the
store cannot take, for a defect of ours, is put in as an error of the work: it uses up an attempt, so a job that nobody
can finish ends ``dead`` instead of going round for ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from dynwork import logs, wire
from dynwork.errors import DynworkError
from dynwork.orchestrator import messages
from dynwork.orchestrator.core.leasing import LeasePolicy
from dynwork.orchestrator.core.machine import Failed, Verdict
from dynwork.orchestrator.metrics import Metrics
from dynwork.orchestrator.rounds import Rounds
from dynwork.orchestrator.store.commands import Report

log = logs.get("dynwork.orchestrator.reports")


class Reports:
    """Takes what workers say. Methods raise ``UnavailableError`` when nothing can be taken: workers repeat."""

    def __init__(self, rounds: Rounds, leasing: LeasePolicy, metrics: Metrics, uniform: Callable[[], float]) -> None:
        """``uniform`` draws from [0, 1): the jitter of retries."""
        self._rounds = rounds
        self._leasing = leasing
        self._metrics = metrics
        self._uniform = uniform

    async def heartbeat(self, message: wire.HeartbeatAsk) -> wire.HeartbeatReply:
        """Renew the worker; tell it what became of what it holds."""
        pulse = await self._rounds.heartbeat(messages.heartbeat_of(message))
        self._metrics.granted.inc(len(pulse.grants))
        about = log.bind(worker_id=message.worker_id)
        for held in pulse.stale:
            about.debug("lease_stale", job_id=held.job_id, epoch=held.epoch)
        for held in pulse.cancelled:
            about.debug("lease_cancelled", job_id=held.job_id, epoch=held.epoch)
        return wire.HeartbeatReply(
            cancelled=messages.refs(pulse.cancelled),
            stale=messages.refs(pulse.stale),
            grants=messages.grants(pulse.grants),
            drain=pulse.drain,
            heartbeat_s=self._leasing.heartbeat_s,
            lease_s=self._leasing.lease_s,
        )

    async def report(self, message: wire.ReportAsk) -> wire.ReportReply:
        """End leases. One verdict each: completed, then failed, then released."""
        reports = messages.reports_of(message, self._uniform)
        verdicts = await self._verdicts(reports)
        about = log.bind(worker_id=message.worker_id)
        counts: Counter[tuple[str, str]] = Counter()
        for report, verdict in zip(reports, verdicts, strict=True):
            how = type(report.event).__name__.lower()
            counts[how, verdict.value] += 1
            about.debug("reported", job_id=report.held.job_id, epoch=report.held.epoch, how=how, verdict=verdict.value)
        for labels, count in counts.items():
            self._metrics.reports.labels(*labels).inc(count)
        return wire.ReportReply(
            results=[
                wire.Judged(job_id=report.held.job_id, epoch=report.held.epoch, verdict=verdict.value)
                for report, verdict in zip(reports, verdicts, strict=True)
            ]
        )

    async def _verdicts(self, reports: list[Report]) -> list[Verdict]:
        answers = await self._rounds.report(reports)
        refused = [number for number, answer in enumerate(answers) if isinstance(answer, DynworkError)]
        failure = Failed("report_failed", "the orchestrator could not take the result", self._uniform())
        again = await self._rounds.report([replace(reports[number], event=failure) for number in refused])
        mended = dict(zip(refused, again, strict=True))
        verdicts = [mended.get(number, answer) for number, answer in enumerate(answers)]
        return [Verdict.STALE if isinstance(verdict, DynworkError) else verdict for verdict in verdicts]
