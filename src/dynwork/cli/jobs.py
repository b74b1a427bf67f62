"""The commands that talk to an API: about jobs, and how the cluster is."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from dynwork.cli.api import EXIT_REFUSED, answer_of, connected, ended, path_of
from dynwork.cli.show import show, show_one

PIECE_BYTES = 64 * 1024
"""Read from a file at once."""

Json = Annotated[bool, typer.Option("--json", help="Print what the API answered, as JSON.")]


def submit(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True, help="Buffers to hash.")],
    iterations: Annotated[int, typer.Option(min=1, help="How often each is hashed: the steps of its chain.")],
    priority: Annotated[int, typer.Option(min=0, max=9, help="9 goes first.")] = 5,
    kind: Annotated[str | None, typer.Option(help="The kind of work; unset: the API's default, sha512-chain.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the results.")] = False,
    as_json: Json = False,
) -> None:
    """Hand in files, to be hashed many times over, or whatever their kind of work is."""
    params: dict[str, str | int] = {"iterations": iterations, "priority": priority, **({"kind": kind} if kind else {})}
    with connected() as api:
        accepted: list[Any] = []
        try:
            for file in files:
                with file.open("rb") as body:
                    pieces = iter(partial(body.read, PIECE_BYTES), b"")  # how many is not known: it may be a pipe
                    accepted.append(answer_of(api.put("/enqueue", params=params, content=pieces)))
        except BaseException:
            if accepted:  # they are durable: whoever loses their ids cannot ask for them
                show(accepted, as_json, ("job_id",))
            raise
        answers = [ended(api, item["job_id"]) for item in accepted] if wait else accepted
    show(answers, as_json, ("job_id", "state", "hash") if wait else ("job_id",))
    if wait and any(answer["state"] != "succeeded" for answer in answers):
        raise typer.Exit(EXIT_REFUSED)


def pull(
    top: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 10,
    as_json: Json = False,
) -> None:
    """Show the newest results, without removing them."""
    with connected() as api:
        results = answer_of(api.post("/pullCompleted", params={"top": top}))
    show(results, as_json, ("job_id", "iterations", "completed_at", "hash"))


def job(job_id: Annotated[str, typer.Argument(help="The job's id.")], as_json: Json = False) -> None:
    """Show one job."""
    with connected() as api:
        show_one(answer_of(api.get(path_of(job_id))), as_json)


def cancel(job_id: Annotated[str, typer.Argument(help="The job's id.")], as_json: Json = False) -> None:
    """Cancel one job."""
    with connected() as api:
        show_one(answer_of(api.delete(path_of(job_id))), as_json)


def status(as_json: Json = False) -> None:
    """Show the queue and the fleet."""
    with connected() as api:
        stats, fleet = answer_of(api.get("/stats")), answer_of(api.get("/fleet"))
    if as_json:
        typer.echo(json.dumps({"stats": stats, "fleet": fleet}, indent=1))
        return
    show_one(stats, as_json=False)
    show(fleet["workers"], False, ("worker_id", "state", "leases", "lanes", "capacity", "pid", "last_seen_at"))
    typer.echo(f"fleet: {len(fleet['workers'])} of {fleet['min']} to {fleet['max']}; {fleet['decision'] or ''}")
