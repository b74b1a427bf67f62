"""Workers on EC2: launched from a template, found by their tags, ended by id.

A machine carries our instance id as its launch token and as a tag, beside the tag of the cluster, all in the launch
call: one that exists can be found, whatever became of the reply. The template says what a machine is (image, role,
network, disk); the call says which pool it comes from and what it boots (:mod:`dynwork.orchestrator.fleet.userdata`).

The client must not try again by itself (``total_max_attempts`` 1): a refusal names the next pool at once, and a call
that may have taken effect is repeated by whoever knows its token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dynwork import logs
from dynwork.clock import Clock
from dynwork.errors import FleetCapacityError, FleetError, FleetTemplateError, FleetUnclearError
from dynwork.orchestrator.fleet.ec2 import states
from dynwork.orchestrator.fleet.ec2.failures import LOST, failure, is_spot_quota, is_unknown_instance
from dynwork.orchestrator.fleet.ec2.places import SPOT, Pool, Pools
from dynwork.orchestrator.fleet.provider import Exit, Machine, Presence

log = logs.get("dynwork.fleet.ec2")

CLUSTER_TAG, INSTANCE_TAG, BUILD_TAG = "dynwork:cluster", "dynwork:instance", "dynwork:build"
PAGE, PAGES_MAX = 1000, 100
"""Instances on one page, and pages, at most."""
EXITS_MAX = 1000
"""Hints that wait to be heard; beyond, they are dropped: the look that made them shows the same."""


class Ec2Client(Protocol):
    """The three calls that are made, as aiobotocore's client has them."""

    async def run_instances(self, **parameters: Any) -> Mapping[str, Any]:
        """See RunInstances in the EC2 API reference; so the others."""
        ...

    async def describe_instances(self, **parameters: Any) -> Mapping[str, Any]:
        """List instances, a page at a time."""
        ...

    async def terminate_instances(self, **parameters: Any) -> Mapping[str, Any]:
        """End instances."""
        ...


@dataclass(frozen=True, slots=True)
class Ec2Setup:
    """What machines are made from.

    ``template``: id or name of the launch template, with ``:version`` (else its default); ``user_data``: what the
    machine of an instance id runs at its first boot; ``cluster_id``: what the store calls itself; ``tags``: of machines
    and their disks, beside our own; ``build``: a name for all that a machine boots, whatever its id.
    """

    template: str
    pools: Sequence[Pool]
    user_data: Callable[[str], str]
    cluster_id: Callable[[], Awaitable[str]]
    tags: Mapping[str, str] = field(default_factory=dict)
    build: str = ""

    @property
    def launch_template(self) -> dict[str, str]:
        """The template, as the API names it."""
        name, _, version = self.template.partition(":")
        return {
            "LaunchTemplateId" if name.startswith("lt-") else "LaunchTemplateName": name,
            "Version": version or "$Default",
        }


class Ec2Provider:
    """A :class:`~dynwork.orchestrator.fleet.provider.Provider` of EC2 instances."""

    def __init__(self, client: Ec2Client, setup: Ec2Setup, clock: Clock) -> None:
        self._client = client
        self._setup = setup
        self._pools = Pools(setup.pools, clock)
        self._seen: set[str] = set()
        self._exits: asyncio.Queue[Exit] = asyncio.Queue(EXITS_MAX)

    def place(self) -> str:
        """See :meth:`Provider.place`."""
        return self._pools.best()

    async def launch(self, instance_id: str, placement: str) -> str:
        """See :meth:`Provider.launch`."""
        try:
            pool = Pool.parse(placement)
        except ValueError:
            raise FleetTemplateError(f"{placement!r} is no place where EC2 has machines") from None
        parameters = self._launch_parameters(instance_id, pool, await self._setup.cluster_id())
        try:
            answer = await self._client.run_instances(**parameters)
        except LOST as error:
            if is_spot_quota(error) and self._pools.without_spot(placement):
                raise FleetCapacityError(failure(error).detail) from error
            raise self._refusal(failure(error), placement) from error
        self._pools.gave(placement)
        try:
            provider_id: str = answer["Instances"][0]["InstanceId"]
        except (KeyError, IndexError, TypeError) as error:
            raise FleetUnclearError("EC2 took the launch and named no instance") from error
        return provider_id

    async def terminate(self, machine: Machine) -> None:
        """See :meth:`Provider.terminate`."""
        try:
            await self._client.terminate_instances(InstanceIds=[machine.provider_id])
        except LOST as error:
            if not is_unknown_instance(error):
                raise failure(error) from error

    async def machines(self) -> Sequence[Machine]:
        """See :meth:`Provider.machines`. EC2 shows what has ended for about an hour."""
        answer = await self._describe(await self._setup.cluster_id())
        try:
            found = [machine for instance in answer if (machine := self._machine(instance)) is not None]
        except (KeyError, TypeError, AttributeError) as error:
            raise FleetUnclearError(f"EC2 describes an instance in a way that is not understood: {error!r}") from error
        for machine in found:
            if machine.presence is Presence.ENDED and machine.provider_id in self._seen:
                self._hint(Exit(machine.instance_id, machine.reason or "terminated", machine.provider_id))
        self._seen = {machine.provider_id for machine in found if machine.presence is not Presence.ENDED}
        return found

    async def next_exit(self) -> Exit:
        """See :meth:`Provider.next_exit`."""
        return await self._exits.get()

    async def close(self) -> None:
        """See :meth:`Provider.close`."""

    def _refusal(self, error: FleetError, placement: str) -> FleetError:
        """Remember what a refusal says of the pool; return it."""
        if isinstance(error, FleetCapacityError):
            self._pools.refused(placement)
        elif isinstance(error, FleetUnclearError):
            self._pools.unclear(placement)
        return error

    def _launch_parameters(self, instance_id: str, pool: Pool, cluster_id: str) -> dict[str, Any]:
        own = {CLUSTER_TAG: cluster_id, INSTANCE_TAG: instance_id, BUILD_TAG: self._setup.build}
        tags = {**self._setup.tags, "Name": "dynwork-worker", **own}
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
        one_time = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
        market = {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": one_time}}
        return {
            "ClientToken": instance_id,
            "LaunchTemplate": self._setup.launch_template,
            "MinCount": 1,
            "MaxCount": 1,
            "InstanceType": pool.instance_type,
            "SubnetId": pool.subnet,
            "UserData": self._setup.user_data(instance_id),
            "InstanceInitiatedShutdownBehavior": "terminate",
            "TagSpecifications": [{"ResourceType": kind, "Tags": listed} for kind in ("instance", "volume")],
            **(market if pool.market == SPOT else {}),
        }

    async def _describe(self, cluster_id: str) -> list[Mapping[str, Any]]:
        filters = [
            {"Name": f"tag:{CLUSTER_TAG}", "Values": [cluster_id]},
            {"Name": "tag-key", "Values": [INSTANCE_TAG]},
        ]
        found: list[Mapping[str, Any]] = []
        page: dict[str, str] = {}
        for _ in range(PAGES_MAX):
            try:
                answer = await self._client.describe_instances(Filters=filters, MaxResults=PAGE, **page)
            except LOST as error:
                raise failure(error) from error
            if "Reservations" not in answer:  # EC2 lists none as an empty list; a page of a proxy reads as nothing
                raise FleetUnclearError("EC2 was asked which instances there are, and something else answered")
            for reservation in answer["Reservations"] or ():
                found += reservation.get("Instances") or ()
            if not answer.get("NextToken"):
                return found
            page = {"NextToken": answer["NextToken"]}
        raise FleetError(
            f"EC2 lists more than {PAGES_MAX * PAGE} instances of this cluster: end those that are too many"
        )

    def _machine(self, instance: Mapping[str, Any]) -> Machine | None:
        """Read one; ``None`` for one that has lost its tags, as what has ended does after a while."""
        tags = {tag["Key"]: tag.get("Value", "") for tag in instance.get("Tags") or ()}
        if INSTANCE_TAG not in tags:
            return None
        return Machine(
            tags[INSTANCE_TAG],
            instance["InstanceId"],
            states.presence(instance),
            states.reason(instance),
            is_outdated=tags.get(BUILD_TAG, "") != self._setup.build,
        )

    def _hint(self, hint: Exit) -> None:
        try:
            self._exits.put_nowait(hint)
        except asyncio.QueueFull:
            log.warning("exit_hint_dropped", instance_id=hint.instance_id)
