"""Log files of local processes, bounded in size and number.

A process writes to its own file by itself (its standard output and error); whoever started it keeps the file bounded
from outside. The files are opened for appending, so that cutting one off leaves no hole.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from io import FileIO
from pathlib import Path

FILE_BYTES_MAX = 16 * 1024**2
FILES_MAX = 50
"""Files of ended processes that are kept, the newest first."""


class LogFiles:
    """The log files of one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[FileIO]:
        """Open a file to be inherited by a process; what earlier ones wrote is kept, up to the bound."""
        self.bound(name)
        with (self._directory / name).open("ab", buffering=0) as file:
            yield file

    def bound(self, name: str) -> None:
        """Empty the file if it has grown beyond ``FILE_BYTES_MAX``."""
        path = self._directory / name
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > FILE_BYTES_MAX:
                os.truncate(path, 0)

    def prune(self, prefix: str, keep: Collection[str]) -> None:
        """Delete the oldest files that begin with ``prefix``, beyond ``FILES_MAX``, except those in ``keep``."""
        old = sorted(
            (path for path in self._directory.glob(f"{prefix}*") if path.name not in keep),
            key=lambda path: path.stat().st_mtime,
            reverse=True,
        )
        for path in old[FILES_MAX:]:
            path.unlink(missing_ok=True)

    def last_line(self, name: str) -> str:
        """Return the last line that is not empty, for a message; an empty string if there is none."""
        with contextlib.suppress(FileNotFoundError), (self._directory / name).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
            return lines[-1].strip() if lines else ""
        return ""
