"""Builds what keeps a whole cluster running on one machine."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from dynwork.clock import SystemClock
from dynwork.compose.parts import randomness
from dynwork.serving import Stop
from dynwork.up.options import UpOptions
from dynwork.up.supervisor import Supervisor

PASSWORD_BYTES = 16


def supervisor(options: UpOptions, say: Callable[[str], None]) -> Supervisor:
    """Build what keeps a whole cluster running on this machine; ``say`` tells the operator one line."""
    return Supervisor(options, SystemClock(), randomness(), lambda: secrets.token_hex(PASSWORD_BYTES), say)


def keep_up(options: UpOptions, say: Callable[[str], None]) -> None:
    """Keep a cluster running until a signal. Raises ``ConfigurationError`` if it cannot be."""

    async def until_stopped() -> None:
        stop = Stop()
        stop.listen()
        await supervisor(options, say).run(stop)

    asyncio.run(until_stopped())
