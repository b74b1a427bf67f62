"""What the states of an EC2 instance mean to the fleet.

Source: "Amazon EC2 instance state changes", https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dynwork.orchestrator.fleet.provider import Presence

PRESENCE: Mapping[str, Presence] = {
    "pending": Presence.THERE,
    "running": Presence.THERE,
    "stopping": Presence.THERE,  # nobody here stops machines: who did may start them again; else they are overdue
    "stopped": Presence.THERE,
    "shutting-down": Presence.ENDING,
    "terminated": Presence.ENDED,
}


def presence(instance: Mapping[str, Any]) -> Presence:
    """Return where an instance, as DescribeInstances shows it, stands. A state unheard of is no reason to forget it."""
    return PRESENCE.get((instance.get("State") or {}).get("Name", ""), Presence.THERE)


def reason(instance: Mapping[str, Any]) -> str:
    """Return why it ended, as far as EC2 says."""
    said: str = (instance.get("StateReason") or {}).get("Message") or instance.get("StateTransitionReason") or ""
    return said
