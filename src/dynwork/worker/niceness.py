"""Lanes give way: whatever else the machine does, its answers should not wait behind them.

Lanes use every moment of their cores, and the scheduler knows no better than to share fairly. A little niceness lets
the event loop, an orchestrator or an API on the same machine run at once when they have something to do, which is
short, and gives the lanes all the rest: a request beside full lanes takes half the time.
"""

from __future__ import annotations

import os
import sys

NICE = 10


def give_way() -> None:
    """Lower the priority of this thread on Linux, where each thread has its own; elsewhere do nothing."""
    if sys.platform == "linux":
        os.nice(NICE)
