"""Where machines come from: the port that every provider implements.

All of it may be repeated. ``launch`` is made idempotent by the instance's id, which we choose and store before the
call; ``terminate`` is repeated until the machine is no longer listed. ``machines`` is the truth, ``next_exit`` only a
hint that makes the answer to a loss quick. Every provider passes :mod:`dynwork.testing.provider_contract`.

Failures are leaves of :class:`~dynwork.errors.FleetError`. All but ``FleetUnclearError`` promise that the call changed
nothing; after that one the caller asks again with the same id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of ours that exists at the provider, whatever it is doing. ``instance_id`` is ours."""

    instance_id: str
    provider_id: str


@dataclass(frozen=True, slots=True)
class Exit:
    """A machine has just ended, for ``reason``."""

    instance_id: str
    reason: str


class Provider(Protocol):
    """Starts and ends machines that run one worker each."""

    async def launch(self, instance_id: str) -> str:
        """Start the machine called ``instance_id`` unless it was started before; return the provider's name for it.

        While the machine exists a second call with the same id makes no second one, whatever became of the first
        reply. Raises ``FleetError``.
        """
        ...

    async def terminate(self, instance_id: str) -> None:
        """Tell the machine to end, gracefully first. Returns when it was told, not when it is gone.

        Repeating the call is how it becomes insistent; an unknown machine is gone already. Raises ``FleetError``.
        """
        ...

    async def machines(self) -> Sequence[Machine]:
        """Return what exists now, machines that are ending included. Raises ``FleetError`` when that cannot be told."""
        ...

    async def next_exit(self) -> Exit:
        """Wait for the next hint that a machine ended by whatever cause. A hint may be lost or late, never wrong."""
        ...

    async def close(self) -> None:
        """Let go of what watches the machines. They live on."""
        ...
