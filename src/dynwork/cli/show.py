"""How results are printed: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

UNCUT = 400
"""Columns where there is no terminal to fit: ids and hashes stay on one line, for grep."""


def show(rows: Sequence[Mapping[str, Any]], as_json: bool, columns: tuple[str, ...]) -> None:
    """Print ``columns`` of the rows, or the rows whole as JSON; all is written when this returns."""
    if as_json:
        typer.echo(json.dumps(rows, indent=1))  # it flushes
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_text(row.get(column)) for column in columns))
    _print(table)


def show_one(row: Mapping[str, Any], as_json: bool) -> None:
    """Print one thing, a line for each of its fields."""
    if as_json:
        typer.echo(json.dumps(row, indent=1))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in row.items():
        table.add_row(name, _text(value))
    _print(table)


def _print(table: Table) -> None:
    Console(width=None if sys.stdout.isatty() else UNCUT).print(table)
    sys.stdout.flush()


def _text(value: object) -> Text:
    """Return a cell: ``Text``, as rich looks for markup in a plain string, and what files are called is not ours."""
    if value is None:
        return Text("-")
    return Text(f"{value:,.1f}" if isinstance(value, float) else printable(str(value)))


def printable(text: str) -> str:
    """Return ``text`` with what is no character to be seen written out: bytes that are no UTF-8, line ends, escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
