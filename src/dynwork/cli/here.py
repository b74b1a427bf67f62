"""The commands that run a cluster on this machine, or let systemd do so."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer

from dynwork import units
from dynwork.errors import ConfigurationError
from dynwork.settings import ClientSettings, load


def up(  # noqa: PLR0913 - a parameter is an option of the command
    apis: Annotated[int, typer.Option(help="API instances.")] = 2,
    orchestrators: Annotated[int, typer.Option(help="Orchestrators; more than one needs PostgreSQL.")] = 1,
    min_workers: Annotated[int, typer.Option(help="Fewest workers.")] = 1,
    max_workers: Annotated[int, typer.Option(help="Most workers.")] = 4,
    api_port: Annotated[int, typer.Option(help="Port of the first API.")] = 8000,
    store: Annotated[
        str | None,
        typer.Option(
            help="Where jobs are kept: a URL, or 'postgres' for a server of its own; default: SQLite in the data dir."
        ),
    ] = None,
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


def demo() -> None:
    """Show it working: a whole cluster, a burst of jobs, every hash checked, and a clean end."""
    from dynwork.demo import main

    raise typer.Exit(main())


def unit(
    role: Annotated[str, typer.Argument(help="api, orchestrator or worker.")],
    venv: Annotated[Path, typer.Option(help="Where dynwork is installed.")] = Path(units.VENV),
    log: Annotated[Path | None, typer.Option(help="The file it writes to; default: the journal.")] = None,
) -> None:
    """Print the systemd unit of a role, which reads its settings from /etc/dynwork/ROLE.env."""
    roles = get_args(units.Role)
    if role not in roles:
        raise ConfigurationError(f"there is no role {role!r}: {', '.join(roles)}")
    for path in filter(None, (venv, log)):
        if not path.is_absolute() or any(character.isspace() or character in "%\"'\\" for character in str(path)):
            raise ConfigurationError(f"{path} must be an absolute path without spaces and quotes")
    typer.echo(units.unit(role, venv=venv, log=log), nl=False)
