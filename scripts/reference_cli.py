"""The page of the ``dynwork`` command, from the command itself: its commands, their options, and how they end."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer.main

from dynwork import cli
from dynwork.cli.api import EXIT_CODES

HEAD = """# Command line

`dynwork COMMAND --help` says the same. Results go to standard output (with `--json`: as the API tells them),
messages and progress to standard error. Which APIs are asked, and with which key, say `DYNWORK_URL` and
`DYNWORK_API_KEY`: [settings.md](settings.md).
"""


def page() -> str:
    """Return the page."""
    group: Any = typer.main.get_command(cli.app)
    lines = [HEAD, *_exit_codes()]
    for name in sorted(group.commands):
        lines += _command(name, group.commands[name])
    return "\n".join(lines).rstrip() + "\n"


def _exit_codes() -> Iterator[str]:
    yield "## Exit codes\n"
    yield "| code | meaning |\n|---|---|"
    for code, meaning in EXIT_CODES.items():
        yield f"| {code} | {meaning} |"
    yield ""


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
    shown = " ".join(_argument(one) for one in arguments)
    yield f"## `dynwork {name}{' ' + shown if shown else ''}`\n"
    yield " ".join(inspect.cleandoc(command.help or "").split()) + "\n"
    if arguments or options:
        yield "| | default | meaning |\n|---|---|---|"
        for one in arguments:
            yield f"| `{_cell(_argument(one))}` | {'required' if one.required else '–'} | {_cell(one.help)} |"
        for one in options:
            yield f"| `{', '.join(one.opts)}` | {_default(one)} | {_cell(one.help)} |"
        yield ""


def _argument(one: Any) -> str:
    name = (one.metavar or one.name.upper()).removesuffix("...")
    text = f"{name}…" if one.nargs == -1 else name
    return text if one.required else f"[{text}]"


def _default(one: Any) -> str:
    if one.required:
        return "required"
    if one.is_flag or one.default in (None, (), []):
        return "–"
    return f"`{one.default}`"


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")
