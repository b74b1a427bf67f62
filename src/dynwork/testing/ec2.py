"""EC2 in memory, on the test's clock: the three calls that the fleet makes, as aiobotocore's client has them.

It keeps to what EC2 promises and to nothing more: launch tokens are idempotent and refuse other parameters; a list may
lag behind a launch; ending takes a while, and what has ended is listed for an hour. ``mishap`` is asked before each
call what is to go wrong with it. It passes the provider contract as moto does (``tests/aws/test_ec2.py``).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from dynwork.clock import Clock, Instant
from dynwork.orchestrator.fleet.ec2.provider import INSTANCE_TAG

LISTED_S = 3600.0
"""How long an instance that has ended is listed, seconds."""


@dataclass(frozen=True, slots=True)
class Mishap:
    """What goes wrong with one call: answered late; with an error; or not at all, before its effect or after."""

    delay_s: float = 0.0
    code: str | None = None
    status: int = 400
    lost: bool = False
    effect: bool = True


@dataclass(slots=True)
class Box:
    """One instance. ``seen_from``: since when it is listed."""

    provider_id: str
    parameters: Mapping[str, Any]
    launched_at: Instant
    seen_from: Instant
    tags: dict[str, str] = field(default_factory=dict)
    ended_at: Instant | None = None
    reason: str = ""

    @property
    def instance_id(self) -> str:
        """Our name for it."""
        return self.tags.get(INSTANCE_TAG, "")

    @property
    def lives(self) -> bool:
        """Whether nobody has ended it."""
        return self.ended_at is None


class SimulatedEc2:
    """A :class:`~dynwork.orchestrator.fleet.ec2.provider.Ec2Client`. ``boxes`` has every instance ever made."""

    def __init__(
        self, clock: Clock, mishap: Callable[[str, Mapping[str, Any]], Mishap | None] = lambda *_: None
    ) -> None:
        self._clock = clock
        self.mishap = mishap
        self.lag_s: Callable[[], float] = lambda: 0.0
        """Drawn for each launch: how long the instance is not listed, seconds."""
        self.end_s = 0.0
        """How long an instance is shutting down, seconds."""
        self.page = 1000
        self.boxes: dict[str, Box] = {}
        self.on_terminate: Callable[[Box], None] = lambda _: None
        """Told before an instance is ended on request."""
        self._tokens: dict[str, tuple[Mapping[str, Any], str]] = {}
        self._numbers = itertools.count(1)

    @property
    def living(self) -> list[Box]:
        """The instances that nobody has ended."""
        return [box for box in self.boxes.values() if box.lives]

    def end(self, provider_id: str, reason: str) -> None:
        """The instance dies, by whatever cause."""
        box = self.boxes[provider_id]
        if box.lives:
            box.ended_at, box.reason = self._clock.now(), reason

    # -- the calls
    async def run_instances(self, **parameters: Any) -> Mapping[str, Any]:
        """See :meth:`Ec2Client.run_instances`."""
        return await self._call("RunInstances", parameters, self._run)

    async def describe_instances(self, **parameters: Any) -> Mapping[str, Any]:
        """See :meth:`Ec2Client.describe_instances`."""
        return await self._call("DescribeInstances", parameters, self._describe)

    async def terminate_instances(self, **parameters: Any) -> Mapping[str, Any]:
        """See :meth:`Ec2Client.terminate_instances`."""
        return await self._call("TerminateInstances", parameters, self._terminate)

    async def _call(
        self,
        action: str,
        parameters: Mapping[str, Any],
        effect: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    ) -> Mapping[str, Any]:
        mishap = self.mishap(action, parameters) or Mishap()
        if mishap.delay_s:
            await self._clock.sleep(mishap.delay_s)
        if mishap.code is not None:
            raise _error(action, mishap.code, mishap.status)
        answer = effect(parameters) if mishap.effect else {}
        if mishap.lost:
            raise ReadTimeoutError(endpoint_url="https://ec2.invalid")
        return answer

    def _run(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        token = parameters["ClientToken"]
        if token in self._tokens:
            before, provider_id = self._tokens[token]
            if before != parameters:
                raise _error("RunInstances", "IdempotentParameterMismatch")
            return {"Instances": [{"InstanceId": provider_id}]}
        if len(parameters["UserData"]) > 16_384:
            raise _error("RunInstances", "InvalidParameterValue")
        provider_id = self.make(parameters)
        self._tokens[token] = (parameters, provider_id)
        return {"Instances": [{"InstanceId": provider_id}]}

    def make(self, parameters: Mapping[str, Any]) -> str:
        """Let there be an instance; return its id."""
        now, provider_id = self._clock.now(), f"i-{next(self._numbers):017x}"
        (listed,) = [one["Tags"] for one in parameters["TagSpecifications"] if one["ResourceType"] == "instance"]
        tags = {tag["Key"]: tag["Value"] for tag in listed}
        self.boxes[provider_id] = Box(provider_id, parameters, now, now + self.lag_s(), tags)
        return provider_id

    def _describe(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        now = self._clock.now()
        tags = {one["Name"].removeprefix("tag:"): one["Values"] for one in parameters["Filters"]}
        wanted = tags.pop("tag-key")
        listed = [
            box
            for box in self.boxes.values()
            if box.seen_from <= now
            and (box.ended_at is None or now - box.ended_at < LISTED_S)
            and all(box.tags.get(key) in values for key, values in tags.items())
            and set(wanted) <= box.tags.keys()
        ]
        first = int(parameters.get("NextToken", 0))
        size = min(self.page, parameters["MaxResults"])
        page = listed[first : first + size]
        more = {"NextToken": str(first + size)} if first + size < len(listed) else {}
        return {"Reservations": [{"Instances": [self._shown(box)]} for box in page], **more}

    def _shown(self, box: Box) -> Mapping[str, Any]:
        if box.ended_at is None:
            state = "running"
        else:
            state = "shutting-down" if self._clock.now() - box.ended_at < self.end_s else "terminated"
        return {
            "InstanceId": box.provider_id,
            "State": {"Name": state},
            "StateReason": {"Message": box.reason},
            "Tags": [{"Key": key, "Value": value} for key, value in box.tags.items()],
        }

    def _terminate(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        for provider_id in parameters["InstanceIds"]:
            box = self.boxes.get(provider_id)
            if box is None or box.seen_from > self._clock.now():
                raise _error("TerminateInstances", "InvalidInstanceID.NotFound")
            if box.lives:
                self.on_terminate(box)
            self.end(provider_id, "Client.UserInitiatedShutdown")
        return {}


def _error(action: str, code: str, status: int = 400) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, action)
