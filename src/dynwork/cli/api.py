"""How the commands reach an API, and how they end when it refuses or does not answer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from dynwork.client import Client
from dynwork.errors import ConfigurationError, DynworkError, UnavailableError

EXIT_REFUSED = 1
EXIT_CONFIGURATION = 2
EXIT_NO_ANSWER = 3
EXIT_INTERRUPTED = 130
EXIT_CODES = {
    0: "done",
    EXIT_REFUSED: "refused, or a job did not succeed",
    EXIT_CONFIGURATION: "wrong usage or configuration",
    EXIT_NO_ANSWER: "nobody answered, or it is not possible just now: try again",
    EXIT_INTERRUPTED: "interrupted",
}
"""How every command ends; in the reference, and in the text of the command itself."""


class _Waiting(logging.Handler):
    """Tells what the client is waiting for, each reason once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._told: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if line not in self._told:
            self._told.add(line)
            typer.echo(f"dynwork: {line}", err=True)


@contextmanager
def connected() -> Iterator[Client]:
    """Give a client of the APIs that the environment names. An error inside ends the command with one line."""
    log, waiting = logging.getLogger("dynwork.client"), _Waiting()
    log.addHandler(waiting)
    try:
        with Client() as client:
            yield client
    except ConfigurationError:
        raise
    except DynworkError as error:
        typer.echo(f"dynwork: {error.code}: {error.detail}", err=True)
        raise typer.Exit(exit_code_of(error)) from error
    finally:
        log.removeHandler(waiting)


def exit_code_of(error: DynworkError) -> int:
    """Return with which code an error ends a command."""
    if isinstance(error, ConfigurationError):
        return EXIT_CONFIGURATION
    return EXIT_NO_ANSWER if isinstance(error, UnavailableError) else EXIT_REFUSED
