"""Files that are whole at any moment: either what was there before, or what is written now."""

from __future__ import annotations

import os
from pathlib import Path


def replace_text(path: Path, text: str) -> None:
    """Write ``text``, which is ASCII, in the place of ``path``; it is on disk when this returns."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)  # the new name is a change of the folder
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
