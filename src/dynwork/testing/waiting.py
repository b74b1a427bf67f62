"""Waiting for something outside of this process: bounded, and with a sentence when it does not come."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from dynwork.clock import SystemClock

LOOK_EVERY_S = 0.02

Found = TypeVar("Found")


def wait_until(
    look: Callable[[], Found | None], what: str, timeout_s: float = 30.0, every_s: float = LOOK_EVERY_S
) -> Found:
    """Look until ``look`` returns something true, and return that. Raises ``TimeoutError``, naming ``what``.

    ``every_s``: the pause between two looks, longer where looking costs others time.

    For real processes only; inside one process wait for an event, or advance a fake clock.
    """
    clock = SystemClock()
    deadline = clock.monotonic() + timeout_s
    pause = threading.Event()
    while True:
        found = look()
        if found:
            return found
        if clock.monotonic() >= deadline:
            raise TimeoutError(f"not within {timeout_s:g} s: {what}")
        pause.wait(every_s)
