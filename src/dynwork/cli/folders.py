"""What there is below a folder: every file, and with the reason whatever else is there and cannot be handed in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

GIVEN = (Path("/proc"), Path("/dev/fd"), Path("/dev/stdin"))
"""Where names stand for what a process was given when it was started: another process finds something else there."""


class Found(NamedTuple):
    """One path; ``trouble``: why it is left out."""

    path: Path
    trouble: str | None = None


def files_of(paths: Iterable[Path]) -> list[Found]:
    """Return the files, and of each folder everything below it, in order."""
    found: list[Found] = []
    for path in paths:
        found += sorted(_below(path), key=lambda one: one.path) if path.is_dir() else [Found(path)]
    return found


def _below(folder: Path) -> Iterator[Found]:
    unreadable: list[OSError] = []
    for where, folders, files in os.walk(folder, onerror=unreadable.append):
        yield from (_looked_at(Path(where, name)) for name in files)
        links = (path for name in folders if (path := Path(where, name)).is_symlink())
        yield from (Found(path, "a link to a folder is not followed: give the folder itself") for path in links)
    for error in unreadable:
        yield Found(Path(error.filename or folder), f"cannot be read: {error.strerror}")


def _looked_at(path: Path) -> Found:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return Found(path, f"cannot be read: {error.strerror}")
    return Found(path) if S_ISREG(mode) else Found(path, "neither a file nor a folder: give a pipe by its name")


def is_given(file: Path) -> bool:
    """Say whether ``file``, or what it links to, is one of those names, like ``/dev/stdin``."""
    while True:
        file = Path(os.path.realpath(file.parent), file.name)
        if any(file.is_relative_to(place) for place in GIVEN):
            return True
        if not file.is_symlink():
            return False
        file = file.parent / file.readlink()
