"""The commands that ask an API about jobs, results, and how the cluster is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from dynwork.cli.api import connected
from dynwork.cli.show import Json, printable, show, show_one
from dynwork.wire import JobStateName, ResultView

JobIdArgument = Annotated[str, typer.Argument(metavar="JOB_ID", help="The job's id.")]


def pull(
    top: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 10,
    as_json: Json = False,
) -> None:
    """Show the newest hashes, without removing them."""
    with connected() as client:
        found = [item.model_dump() for item in client.pull(top)]
    show(found, as_json, ("job_id", "iterations", "completed_at", "hash"))


def results(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as more jobs end, until Ctrl-C.")] = False,
    after: Annotated[str | None, typer.Option(help="A cursor to begin after; newest: only what ends now.")] = None,
    cursor_file: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Where to go on from, and what to keep for the next time.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show every job that ended, in order, a line each (with --json a JSON object each)."""
    with connected() as client:
        for result in client.follow(after, cursor_file=cursor_file, wait=follow):
            typer.echo(result.model_dump_json() if as_json else _line(result))


def _line(result: ResultView) -> str:
    what = f"{result.error.code}: {result.error.detail}" if result.error else result.hash or "-"
    return f"{result.completed_at}  {result.job_id}  {result.state:<9}  {printable(what)}"


def job(job_id: JobIdArgument, as_json: Json = False) -> None:
    """Show one job."""
    with connected() as client:
        show_one(client.job(job_id).model_dump(), as_json)


def jobs(
    state: Annotated[JobStateName | None, typer.Option(help="Only those in this state.")] = None,
    owner: Annotated[
        str | None, typer.Option(help="Only those of this owner; needs a key with the right admin.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    with connected() as client:
        found = [item.model_dump() for item in client.jobs(state=state, owner=owner, limit=limit)]
    show(found, as_json, ("job_id", "state", "iterations", "percent", "priority", "created_at", "completed_at"))


def cancel(job_id: JobIdArgument, as_json: Json = False) -> None:
    """Cancel one job."""
    with connected() as client:
        show_one(client.cancel(job_id).model_dump(), as_json)


def requeue(job_id: JobIdArgument, as_json: Json = False) -> None:
    """Start a dead job anew, under a new id."""
    with connected() as client:
        show_one({"job_id": client.requeue(job_id)}, as_json)


def status(as_json: Json = False) -> None:
    """Show the queue and the fleet."""
    with connected() as client:
        stats, fleet = client.stats(), client.fleet()
    if as_json:
        typer.echo(json.dumps({"stats": stats.model_dump(), "fleet": fleet.model_dump()}, indent=1))
        return
    show_one(stats.model_dump(), as_json=False)
    workers = [worker.model_dump() for worker in fleet.workers]
    show(workers, False, ("worker_id", "state", "leases", "lanes", "capacity", "pid", "last_seen_at"))
    typer.echo(f"fleet: {len(workers)} of {fleet.min} to {fleet.max}; {fleet.decision or ''}")
