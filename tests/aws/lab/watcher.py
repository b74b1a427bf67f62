"""What looks at the cloud again and again, in a thread of its own."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self


class Watcher:
    """Use as a context manager: it watches while inside. Who watches says how in :meth:`watch`."""

    def __init__(self, name: str) -> None:
        """``name``: of the thread."""
        self.stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raise what went wrong with the watching, if anything did."""
        if self._failure is not None:
            raise self._failure

    def watch(self) -> None:
        """Look again and again until ``stop`` is set."""
        raise NotImplementedError

    def _run(self) -> None:
        try:
            self.watch()
        except Exception as error:  # noqa: BLE001 - told by check()
            self._failure = error
