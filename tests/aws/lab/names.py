"""Which name is whose address: one file, like ``/etc/hosts``, that every machine has and that changes as they run."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

LOCAL = {"localhost": "127.0.0.1"}


class Names:
    """The names of a VPC. ``file`` is written in its place: it may be mounted elsewhere."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()
        self._names = dict(LOCAL)
        self.file.touch()
        self._write()

    def add(self, name: str, address: str) -> None:
        """Let a name be known."""
        with self._lock:
            self._names[name] = address
            self._write()

    def drop(self, name: str) -> None:
        """Let a name be known no more."""
        with self._lock:
            del self._names[name]
            self._write()

    def resolving(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs ``command`` where these names are known, and no others."""
        mounted = f'mount --bind {self.file} /etc/hosts && exec "$@"'
        return ["unshare", "--mount", "--propagation", "private", "bash", "-c", mounted, "names", *command]

    def _write(self) -> None:
        text = "".join(f"{address} {name}\n" for name, address in self._names.items()).encode()
        descriptor = os.open(self.file, os.O_WRONLY)
        try:
            os.pwrite(descriptor, text, 0)
            os.truncate(descriptor, len(text))
        finally:
            os.close(descriptor)
