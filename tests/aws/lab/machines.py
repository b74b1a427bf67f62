"""What moto lacks of the life of an instance, whoever launches or ends it.

A new one is pending for a while, and not listed for another; it is as its launch template says. One that is to end is
shutting down until somebody says that it is off, or patience is over. Only then is it terminated.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import InstanceState, MetadataOptions

from dynwork.clock import SystemClock

PENDING, RUNNING, SHUTTING_DOWN, TERMINATED = ("pending", 0), ("running", 16), ("shutting-down", 32), ("terminated", 48)
ENDING = (SHUTTING_DOWN[0], TERMINATED[0])


@dataclass(frozen=True, slots=True)
class Delays:
    """How long, in seconds: a new instance is pending, is not listed; one that ends is shutting down at most.

    ``pace``, ``grace_pace``: how much of each second that a target group, a group of machines sets passes here.
    """

    pending_s: float = 0.0
    unseen_s: float = 0.0
    ending_s: float = 0.0
    pace: float = 0.0
    grace_pace: float = 0.0


class Machines:
    """The instances of the account. ``lock``: held by whoever launches, ends or lists them."""

    def __init__(self, delays: Delays) -> None:
        self.delays = delays
        self.clock = SystemClock()
        self.lock = threading.RLock()
        self._listed_from: dict[str, float] = {}

    def begin(self, instance: Any, template: dict[str, Any]) -> None:
        """Let an instance that was launched from ``template`` begin its life."""
        if instance.id in self._listed_from:
            return
        self._listed_from[instance.id] = self.clock.monotonic() + self.delays.unseen_s
        _be_like(instance, template)
        if self.delays.pending_s:
            instance._state = InstanceState(*PENDING)
            threading.Timer(self.delays.pending_s, _run_if_pending, [instance]).start()

    def ended(self, instance: Any, before: str) -> None:
        """Let an instance that moto ends, and that was in the state ``before``, have time to do so."""
        for interface in instance.nics.values():
            instance.ec2_backend.enis.pop(interface.id, None)
        if self.delays.ending_s and before in (PENDING[0], RUNNING[0], SHUTTING_DOWN[0]):
            instance._state = InstanceState(*SHUTTING_DOWN)
            if before != SHUTTING_DOWN[0]:
                threading.Timer(self.delays.ending_s, _be_off, [instance]).start()

    def end(self, instance: Any) -> None:
        """Let an instance end."""
        before = instance._state.name
        if before not in ENDING:
            instance.ec2_backend.terminate_instances([instance.id])
            self.ended(instance, before)

    def off(self, provider_id: str) -> None:
        """Know that the machine of an instance that is to end is off."""
        _be_off(named(provider_id))

    def unseen(self) -> set[str]:
        """Return the instances that are not listed yet."""
        now = self.clock.monotonic()
        return {instance_id for instance_id, since in self._listed_from.items() if since > now}


def as_method(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return what can stand in for a method of moto's: ``call`` has its ``self`` first."""
    return lambda self, *arguments, **named_ones: call(self, *arguments, **named_ones)


def every() -> list[Any]:
    """Return every instance there ever was."""
    return [one for backend in ec2_backends[DEFAULT_ACCOUNT_ID].values() for one in backend.all_instances()]


def named(provider_id: str) -> Any:
    """Return the instance of this name, or none."""
    return next((one for one in every() if one.id == provider_id), None)


def _be_off(instance: Any) -> None:
    if instance is not None and instance._state.name == SHUTTING_DOWN[0]:
        instance._state = InstanceState(*TERMINATED)


def _run_if_pending(instance: Any) -> None:
    if instance._state.name == PENDING[0]:
        instance._state = InstanceState(*RUNNING)


def _be_like(instance: Any, template: dict[str, Any]) -> None:
    """Moto forgets the metadata options and the profile."""
    if isinstance(template.get("MetadataOptions"), dict):
        instance.metadata_options = MetadataOptions(template["MetadataOptions"])
    profile = template.get("IamInstanceProfile") or {}
    if profile and not instance.iam_instance_profile:
        instance.ec2_backend.associate_iam_instance_profile(
            instance_id=instance.id,
            iam_instance_profile_name=profile.get("Name"),
            iam_instance_profile_arn=profile.get("Arn"),
        )
