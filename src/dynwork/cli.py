"""The ``dynwork`` command.

Exit codes, the same for every command: 0 done; 1 refused, or a job did not succeed; 2 wrong usage or configuration;
3 nobody answered. Results go to standard output (``--json``: exactly what the API answered), messages to standard
error.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import httpx
import typer
from rich.console import Console
from rich.table import Table

from dynwork import __version__
from dynwork.errors import ConfigurationError, DynworkError
from dynwork.settings import ClientSettings, load

EXIT_REFUSED = 1
EXIT_CONFIGURATION = 2
EXIT_NO_ANSWER = 3
TIMEOUT_S = 40.0
"""Longest wait for one answer, seconds."""
PIECE_BYTES = 64 * 1024
"""Read from a file at once."""
LOOK_S = 0.25
"""``submit --wait`` looks this often, seconds."""

UNCUT = 400
"""Columns where there is no terminal to fit: ids and hashes stay on one line, for grep."""

app = typer.Typer(
    name="dynwork",
    help="CPU-heavy work over HTTP on machines that come and go.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Json = Annotated[bool, typer.Option("--json", help="Print what the API answered, as JSON.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dynwork {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """CPU-heavy work over HTTP on machines that come and go."""


@app.command()
def up(  # noqa: PLR0913 - a parameter is an option of the command
    apis: Annotated[int, typer.Option(help="API instances.")] = 2,
    orchestrators: Annotated[int, typer.Option(help="Orchestrators; more than one needs PostgreSQL.")] = 1,
    min_workers: Annotated[int, typer.Option(help="Fewest workers.")] = 1,
    max_workers: Annotated[int, typer.Option(help="Most workers.")] = 4,
    api_port: Annotated[int, typer.Option(help="Port of the first API.")] = 8000,
    store: Annotated[str | None, typer.Option(help="Where jobs are kept; default: SQLite in the data dir.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where files are kept.")] = None,
) -> None:
    """Run a whole cluster on this machine and keep it running, until Ctrl-C."""
    from dynwork.compose import cluster  # loaded for this command alone: the others start quicker
    from dynwork.up.options import UpOptions

    options = UpOptions(
        data_dir=(data_dir or load(ClientSettings).data_dir).expanduser().absolute(),
        apis=apis,
        orchestrators=orchestrators,
        min_workers=min_workers,
        max_workers=max_workers,
        api_port=api_port,
        store=store,
    )
    cluster.keep_up(options, lambda line: typer.echo(f"dynwork up: {line}"))


@app.command(name="demo")
def run_demo() -> None:
    """Show it working: a whole cluster, a burst of jobs, every hash checked, and a clean end."""
    from dynwork import demo

    raise typer.Exit(demo.main())


@app.command()
def submit(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True, help="Buffers to hash.")],
    iterations: Annotated[int, typer.Option(min=1, help="How often each is hashed.")],
    priority: Annotated[int, typer.Option(min=0, max=9, help="9 goes first.")] = 5,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the results.")] = False,
    as_json: Json = False,
) -> None:
    """Hash files, many times over."""
    with _api() as api:
        accepted: list[Any] = []
        try:
            for file in files:
                with file.open("rb") as body:
                    pieces = iter(
                        partial(body.read, PIECE_BYTES), b""
                    )  # of a length not known: it may be a pipe, or grow
                    params = {"iterations": iterations, "priority": priority}
                    accepted.append(_answer(api.put("/enqueue", params=params, content=pieces)))
        except BaseException:
            if accepted:  # they are durable: whoever loses their ids cannot ask for them
                _show(accepted, as_json, ("job_id",))
            raise
        answers = [_ended(api, item["job_id"]) for item in accepted] if wait else accepted
    _show(answers, as_json, ("job_id", "state", "hash") if wait else ("job_id",))
    if wait and any(answer["state"] != "succeeded" for answer in answers):
        raise typer.Exit(EXIT_REFUSED)


@app.command()
def pull(
    top: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 10,
    as_json: Json = False,
) -> None:
    """Show the newest results, without removing them."""
    with _api() as api:
        results = _answer(api.post("/pullCompleted", params={"top": top}))
    _show(results, as_json, ("job_id", "iterations", "completed_at", "hash"))


@app.command()
def job(job_id: Annotated[str, typer.Argument(help="The job's id.")], as_json: Json = False) -> None:
    """Show one job."""
    with _api() as api:
        _show_one(_answer(api.get(_path_of(job_id))), as_json)


@app.command()
def cancel(job_id: Annotated[str, typer.Argument(help="The job's id.")], as_json: Json = False) -> None:
    """Cancel one job."""
    with _api() as api:
        _show_one(_answer(api.delete(_path_of(job_id))), as_json)


@app.command()
def status(as_json: Json = False) -> None:
    """Show the queue and the fleet."""
    with _api() as api:
        stats, fleet = _answer(api.get("/stats")), _answer(api.get("/fleet"))
    if as_json:
        typer.echo(json.dumps({"stats": stats, "fleet": fleet}, indent=1))
        return
    _show_one(stats, as_json=False)
    _show(fleet["workers"], False, ("worker_id", "state", "leases", "lanes", "capacity", "pid", "last_seen_at"))
    typer.echo(f"fleet: {len(fleet['workers'])} of {fleet['min']} to {fleet['max']}; {fleet['decision'] or ''}")


@contextmanager
def _api() -> Iterator[httpx.Client]:
    settings = load(ClientSettings)
    headers = {b"Authorization": f"Bearer {settings.api_key.get_secret_value()}".encode()} if settings.api_key else {}
    with httpx.Client(base_url=settings.url, headers=headers, timeout=TIMEOUT_S) as client:
        yield client


def _answer(response: httpx.Response) -> Any:
    """Return the body of a success; anything else ends the command with one line."""
    try:
        if response.is_success:
            return response.json()
        problem = response.json()
        line = f"{problem['code']}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        line = f"status {response.status_code}, and not what a dynwork API says: is {response.url.netloc.decode()} one?"
    typer.echo(f"dynwork: {line}", err=True)
    raise typer.Exit(EXIT_NO_ANSWER if response.status_code == 503 else EXIT_REFUSED)


def _path_of(job_id: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}"


def _ended(api: httpx.Client, job_id: str) -> Any:
    pause = threading.Event()
    while True:
        answer = _answer(api.get(f"/jobs/{job_id}"))
        if answer["completed_at"] is not None:
            return answer
        pause.wait(LOOK_S)


def _show(rows: list[Any], as_json: bool, columns: tuple[str, ...]) -> None:
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_text(row[column]) for column in columns))
    _print(table)


def _show_one(row: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(row, indent=1))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in row.items():
        table.add_row(name, _text(value))
    _print(table)


def _print(table: Table) -> None:
    Console(width=None if sys.stdout.isatty() else UNCUT).print(table)


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except ConfigurationError as error:
        typer.echo(f"dynwork: {error.detail}", err=True)
        sys.exit(EXIT_CONFIGURATION)
    except (DynworkError, OSError) as error:
        typer.echo(f"dynwork: {error}", err=True)
        sys.exit(EXIT_REFUSED)
    except httpx.InvalidURL as error:
        typer.echo(f"dynwork: DYNWORK_URL={load(ClientSettings).url}: {error}", err=True)
        sys.exit(EXIT_CONFIGURATION)
    except httpx.HTTPError as error:
        typer.echo(f"dynwork: no answer from {load(ClientSettings).url} ({type(error).__name__})", err=True)
        sys.exit(EXIT_NO_ANSWER)
