"""Where machines come from: the port that every provider implements.

All of it may be repeated. ``launch`` is made idempotent by the instance's id, which we choose and store before the
call, together with where the machine is asked for; ``terminate`` is repeated until the machine has ended. ``machines``
is the truth, as far as a provider knows it: a list may lag behind what was launched, but what it says of a machine that
it lists is so. ``next_exit`` is only a hint that makes the answer to a loss quick. Every provider passes
:mod:`dynwork.testing.provider_contract`.

Failures are leaves of :class:`~dynwork.errors.FleetError`. All but ``FleetUnclearError`` promise that the call changed
nothing; after that one the caller asks again with the same id, in the same place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Presence(StrEnum):
    """``there``: pending, running or stopped; ``ending``: it was told to; ``ended``: it is no more, and known to be."""

    THERE = "there"
    ENDING = "ending"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of ours at the provider. ``instance_id`` is ours; ``reason``: why it ended, if that is known.

    ``is_outdated``: it boots something else than a machine that would be launched now.
    """

    instance_id: str
    provider_id: str
    presence: Presence = Presence.THERE
    reason: str = ""
    is_outdated: bool = False


@dataclass(frozen=True, slots=True)
class Exit:
    """A machine has just ended, for ``reason``. ``provider_id``: which one, where there might be several of one id."""

    instance_id: str
    reason: str
    provider_id: str | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps the fleet from growing until somebody mends it."""

    code: str
    detail: str

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class Provider(Protocol):
    """Starts and ends machines that run one worker each."""

    def place(self) -> str:
        """Return where the next machine is best asked for, to be stored with the intent and given to :meth:`launch`.

        Raises ``FleetCapacityError`` while there is none; ``retry_after_s`` says when there may be.
        """
        ...

    async def launch(self, instance_id: str, placement: str) -> str:
        """Start the machine called ``instance_id`` unless it was started before; return the provider's name for it.

        While the machine exists a second call with the same id and placement makes no second one, whatever became of
        the first reply. Raises ``FleetError``; after a ``FleetCapacityError`` :meth:`place` names another place.
        """
        ...

    async def terminate(self, machine: Machine) -> None:
        """Tell the machine to end, gracefully first. Returns when it was told, not when it is gone.

        Repeating the call is how it becomes insistent; an unknown machine is gone already. Raises ``FleetError``.
        """
        ...

    async def machines(self) -> Sequence[Machine]:
        """Return what exists now, and what is known to have ended lately. Raises ``FleetError`` if that can't be told.

        A machine just launched may be missing from it for a while.
        """
        ...

    async def next_exit(self) -> Exit:
        """Wait for the next hint that a machine ended by whatever cause.

        A hint may be lost or late, never wrong; it may need a look at :meth:`machines` to come.
        """
        ...

    async def close(self) -> None:
        """Let go of what watches the machines. They live on."""
        ...
