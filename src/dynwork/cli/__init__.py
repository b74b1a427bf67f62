"""The ``dynwork`` command.

Exit codes, the same for every command: 0 done; 1 refused, or a job did not succeed; 2 wrong usage or configuration;
3 nobody answered, or it is not possible just now; 130 interrupted. Results go to standard output (``--json``: as the
API tells them), messages and progress to standard error.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from dynwork import __version__
from dynwork.cli import here, jobs, kernel, store
from dynwork.cli.api import EXIT_REFUSED, exit_code_of
from dynwork.cli.submit import submit
from dynwork.errors import DynworkError

app = typer.Typer(
    name="dynwork",
    help="CPU-heavy work over HTTP on machines that come and go.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
COMMANDS = (
    *(here.up, here.demo, here.unit),
    *(submit, jobs.pull, jobs.results, jobs.job, jobs.jobs, jobs.cancel, jobs.requeue, jobs.status),
    *(kernel.kernel, store.migrate, store.check_store),
)
for command in COMMANDS:
    app.command()(command)


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


def main() -> None:
    """Run the command line."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that cannot be shown ends no table
    try:
        app()
    except (DynworkError, OSError) as error:
        typer.echo(f"dynwork: {error}", err=True)
        sys.exit(exit_code_of(error) if isinstance(error, DynworkError) else EXIT_REFUSED)
