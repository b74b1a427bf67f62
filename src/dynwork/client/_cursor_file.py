"""Where a reader of the feed left off, in a file that is whole at any moment."""

from __future__ import annotations

from pathlib import Path

from dynwork.errors import ConfigurationError
from dynwork.files import replace_text


class CursorFile:
    """One file for one reader at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> str | None:
        """Return the cursor, ``None`` if none was written yet. Raises ``ConfigurationError`` for what is none."""
        try:
            cursor = self._path.read_bytes().decode("ascii", "replace").strip()
        except FileNotFoundError:
            return None
        if not (cursor.isascii() and cursor.isprintable()):
            raise ConfigurationError(f"{self._path} holds no cursor: give the file of a reader, or a new name")
        return cursor or None

    def write(self, cursor: str) -> None:
        """Replace the cursor; it is on disk when this returns."""
        replace_text(self._path, f"{cursor}\n")
