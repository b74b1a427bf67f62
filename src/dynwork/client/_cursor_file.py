"""Where a reader of the feed left off, in a file that is whole at any moment."""

from __future__ import annotations

import os
from pathlib import Path


class CursorFile:
    """One file for one reader at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str | None:
        """Return the cursor, ``None`` if none was written yet."""
        try:
            return self._path.read_text(encoding="ascii").strip() or None
        except FileNotFoundError:
            return None

    def write(self, cursor: str) -> None:
        """Replace the cursor; it is on disk when this returns."""
        beside = self._path.with_name(f"{self._path.name}.new")
        with beside.open("w", encoding="ascii") as file:
            file.write(f"{cursor}\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
