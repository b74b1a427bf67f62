"""``dynwork submit``: files and folders go in, one bar moves, a table comes out; interrupted, it says how to go on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dynwork.cli.api import EXIT_INTERRUPTED, EXIT_REFUSED, connected
from dynwork.cli.folders import files_of
from dynwork.cli.runs import Entry, Run, Runs
from dynwork.cli.show import Json, printable, show
from dynwork.client import Client, Receipt, Result, Work
from dynwork.errors import DynworkError, InvalidInputError
from dynwork.ids import new_id
from dynwork.kinds import DEFAULT_KIND
from dynwork.settings import ClientSettings, load

BATCH = 200
"""Files handed in between two movements of the bar."""

KNOWN = ("paths", "iterations", "priority", "kind")
"""What a run that is resumed knows by itself."""

Row = dict[str, Any]
Step = Callable[[], None]


def submit(  # noqa: PLR0913 - a parameter is an option of the command
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(exists=True, readable=True, metavar="FILE|FOLDER...", help="Buffers to hash; of a folder, all."),
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="How often each is hashed: the steps of its chain. Required.")
    ] = None,
    priority: Annotated[int, typer.Option(min=0, max=9, help="9 goes first.")] = 5,
    kind: Annotated[str, typer.Option(help="The kind of work.")] = DEFAULT_KIND,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the results.")] = False,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with a submit that was interrupted.")] = None,
    as_json: Json = False,
) -> None:
    """Hand in files, to be hashed many times over, or whatever their kind of work is."""
    runs = Runs(load(ClientSettings).data_dir)
    if resume is not None:
        given = [name for name in KNOWN if _is_given(context, name)]
        if given:
            raise typer.BadParameter(f"--resume knows {', '.join(given)} already")
        run = runs.find(resume)
        run = run.model_copy(update={"wait": run.wait or wait})
    elif not paths or iterations is None:
        raise typer.BadParameter("give files or folders and --iterations, or --resume")
    else:
        run = _wanted(paths, iterations=iterations, priority=priority, kind=kind, wait=wait)
    with connected() as client:
        if resume is None:
            run = _begun(client, run, runs)
        with _resumable(run):
            rows = _carried_out(client, run)
            show(rows, as_json, ("file", "job_id", "state", "hash") if run.wait else ("file", "job_id"))
            runs.end(run)  # not before its table is out: nobody has the ids and hashes otherwise
    for row in rows:
        if row["error"] and not as_json:
            error = row["error"]
            typer.echo(f"dynwork: {printable(row['file'])}: {error['code']}: {error['detail']}", err=True)
    if any(row["error"] for row in rows):
        raise typer.Exit(EXIT_REFUSED)


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _wanted(paths: list[Path], *, iterations: int, priority: int, kind: str, wait: bool) -> Run:
    found = files_of(paths)
    if not found:
        raise typer.BadParameter("there is no file in these folders")
    try:
        entries = [Entry.of(one, kind) for one in found]
    except DynworkError as error:
        raise typer.BadParameter(error.detail) from error
    return Run(name=new_id(), iterations=iterations, priority=priority, kind=kind, wait=wait, entries=entries)


def _begun(client: Client, run: Run, runs: Runs) -> Run:
    if run.wait:
        run = run.model_copy(update={"cursor": client.position()})
    runs.begin(run)
    return run


@contextmanager
def _resumable(run: Run) -> Iterator[None]:
    """However this ends, if not well: say how to go on."""
    try:
        yield
    except BaseException as error:
        typer.echo(f"dynwork: not complete; to go on where it was: dynwork submit --resume {run.name}", err=True)
        if isinstance(error, KeyboardInterrupt):
            raise typer.Exit(EXIT_INTERRUPTED) from None
        raise


def _carried_out(client: Client, run: Run) -> list[Row]:
    """Return a row for each entry."""
    works = run.works()
    told = _waited_for if run.wait else _handed_in
    with _bar("done" if run.wait else "handed in", len(works)) as step:
        rows = {place: _row(run.entries[place], result) for place, result in told(client, run, works, step)}
    for place, entry in enumerate(run.entries):
        if entry.left_out:
            error = InvalidInputError(entry.left_out)
            rows[place] = _row(entry, Result("refused", error=error) if run.wait else Receipt(error=error))
    return [rows[place] for place in range(len(run.entries))]


def _waited_for(client: Client, run: Run, works: dict[int, Work], step: Step) -> Iterator[tuple[int, Result]]:
    places = {work.key: place for place, work in works.items()}
    for work, result in client.submit_many(works.values(), after=run.cursor):
        yield places[work.key], result
        step()


def _handed_in(client: Client, run: Run, works: dict[int, Work], step: Step) -> Iterator[tuple[int, Receipt]]:
    left = iter(works.items())
    while some := dict(itertools.islice(left, BATCH)):
        for place, receipt in zip(some, client.submit_all(some.values()), strict=True):
            yield place, receipt
            step()


def _row(entry: Entry, told: Receipt | Result) -> Row:
    error = {"code": told.error.code, "detail": told.error.detail} if told.error else None
    row: Row = {"file": entry.file, "job_id": told.job_id, "error": error}
    if isinstance(told, Result):
        row |= {"state": told.state, "hash": told.hash, "completed_at": told.completed_at}
    return row


@contextmanager
def _bar(name: str, total: int) -> Iterator[Step]:
    """Show one bar, on a terminal; it is beside the results, on standard error."""
    columns = (BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(TextColumn(name), *columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=total)
        yield lambda: progress.advance(task)
