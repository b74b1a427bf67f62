"""The commands that look after the store itself; they need no API, only ``DYNWORK_STORE_URL`` (or the data dir)."""

from __future__ import annotations

import asyncio

import typer

from dynwork.cli.api import EXIT_REFUSED
from dynwork.cli.show import Json, show_one
from dynwork.settings import StoreSettings, load


def migrate(as_json: Json = False) -> None:
    """Bring the store to this release's schema. Orchestrators do so at their start; this is for doing it before."""
    from dynwork.compose import stores  # loaded for these commands alone: the others start quicker

    cluster_id = asyncio.run(stores.migrate(load(StoreSettings)))
    show_one({"schema": "up to date", "cluster_id": cluster_id}, as_json)


def check_store(as_json: Json = False) -> None:
    """Look whether everything stored keeps its invariants; it may be in use. Exit code 1 if something does not."""
    from dynwork.compose import stores

    broken = asyncio.run(stores.check(load(StoreSettings)))
    if as_json:
        show_one({"broken": list(broken)}, as_json)
    else:
        typer.echo("\n".join(broken) or "every invariant holds")
    if broken:
        raise typer.Exit(EXIT_REFUSED)
