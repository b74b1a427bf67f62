"""The ``dynwork`` command.

Exit codes, the same for every command: 0 done; 1 refused, or a job did not succeed; 2 wrong usage or configuration;
3 nobody answered. Results go to standard output (``--json``: exactly what the API answered), messages to standard
error.
"""

from __future__ import annotations

import sys
from typing import Annotated

import httpx
import typer

from dynwork import __version__
from dynwork.cli import here, jobs, kernel, store
from dynwork.cli.api import EXIT_NO_ANSWER, EXIT_REFUSED
from dynwork.errors import ConfigurationError, DynworkError
from dynwork.settings import ClientSettings, load

EXIT_CONFIGURATION = 2

app = typer.Typer(
    name="dynwork",
    help="CPU-heavy work over HTTP on machines that come and go.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (here.up, here.demo, jobs.submit, jobs.pull, jobs.job, jobs.cancel, jobs.status, kernel.kernel):
    app.command()(command)
for command in (store.migrate, store.check_store):
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
