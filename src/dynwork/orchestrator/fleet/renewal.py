"""Machines that run something else than would be launched now are replaced one after the other, the successor first.

The oldest of them is left out when the fleet is planned: so another one is launched, if one is needed at all, beyond
the maximum if that is reached. When all others are ready and nothing more is wanted, the old one is put under notice:
it hands back what it holds, with checkpoints, and is ended. A release whose workers never report replaces nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dynwork.orchestrator.core.instance import Instance, InstanceState
from dynwork.orchestrator.core.scaling import Member, MemberState, Plan
from dynwork.orchestrator.fleet.provider import Machine

REASON = "outdated: its successor is ready"
"""Why it is given up."""


class Renewal:
    """Remembers what the latest look at the provider showed of this."""

    def __init__(self) -> None:
        self._outdated: frozenset[str] = frozenset()

    def look(self, machines: Iterable[Machine]) -> None:
        """Take note of what the provider has."""
        self._outdated = frozenset(machine.instance_id for machine in machines if machine.is_outdated)

    def next(self, rows: Sequence[Instance]) -> str | None:
        """Return the machine that is to be replaced now; none while another is on its way out."""
        if any(row.state in (InstanceState.NOTICED, InstanceState.DRAINING) for row in rows):
            return None
        late = [row for row in rows if row.state is InstanceState.RUNNING and row.instance_id in self._outdated]
        return min(late, key=lambda row: (row.intended_at, row.instance_id)).instance_id if late else None


def has_successor(others: Sequence[Member], plan: Plan) -> bool:
    """Say whether the others are ready, and as many as are wanted."""
    return plan.launch == 0 and all(member.state is MemberState.READY for member in others)
