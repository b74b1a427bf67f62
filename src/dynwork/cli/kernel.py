"""``dynwork kernel``: which code computes the built-in chain on this machine, and how fast it is."""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING

import typer

from dynwork.cli.show import Json, show_one

if TYPE_CHECKING:
    from dynwork.kinds.measure import Speeds
    from dynwork.kinds.sha512_chain import Path

SECONDS = 1.0
"""How long is measured."""
EXTENSION = "dynwork.kinds._sha512chain"

MISSING = (
    "the C kernel is not installed, so the Python twin serves and takes many times as long: install a C compiler and"
    " Python's headers, then install dynwork again"
)
BROKEN = (
    "the C kernel is installed but cannot be loaded, so the Python twin serves and takes many times as long: install"
    " dynwork again on this machine, with a C compiler and Python's headers. The reason is: {reason}"
)
UNUSABLE = (
    "the C kernel is installed, but none of its paths both runs on this machine and agrees with hashlib, so the Python"
    " twin serves and takes many times as long: please report it, with the name of the processor"
)


def kernel(as_json: Json = False) -> None:
    """Show which code hashes on this machine, and measure for a second how fast it is."""
    from dynwork.kinds import sha512_chain  # loaded for this command alone: it tries every path when it is loaded
    from dynwork.kinds.measure import measure

    kind, usable = sha512_chain.KIND, sha512_chain.paths()
    speeds, advice = measure(kind, SECONDS), _advice(kind.path)
    if as_json:
        facts = {"path": kind.path.name, "lanes": kind.path.lanes, "usable": [path._asdict() for path in usable]}
        show_one({"kind": kind.name, **facts, **asdict(speeds), "advice": advice}, as_json)
    else:
        show_one(_lines(kind.path, usable, speeds), as_json)
    if advice:
        typer.echo(f"dynwork: {advice}", err=True)


def _lines(path: Path, usable: tuple[Path, ...], speeds: Speeds) -> dict[str, str]:
    lines = {
        "path": path.name,
        "lanes": str(path.lanes),
        "usable here": ", ".join(map(_lanes, usable)),
        "one chain": f"{_speed(speeds.chain_speed)}, {speeds.chain_times_loop:.1f} times the Python loop",
    }
    if path.lanes > 1:
        lines[f"{path.lanes} chains"] = (
            f"{_speed(speeds.lanes_speed)}, {speeds.lanes_times_loop:.1f} times the Python loop"
        )
    return {**lines, "Python loop": _speed(speeds.loop_speed)}


def _speed(steps_per_s: float) -> str:
    return f"{steps_per_s / 1e6:.2f} M steps/s"


def _lanes(path: Path) -> str:
    return f"{path.name} ({path.lanes} lane{'s' * (path.lanes > 1)})"


def _advice(path: Path) -> str | None:
    """Say what to do if no native path is used; ``None`` if one is."""
    if path.name != "python":
        return None
    try:
        import_module(EXTENSION)
    except ModuleNotFoundError:
        return MISSING
    except ImportError as error:  # built for another machine, as a rule
        return BROKEN.format(reason=error)
    return UNUSABLE
