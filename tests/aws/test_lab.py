"""The lab carries a rollout: what a template makes comes to life, and dies, as it would on AWS."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.aws.account import contents
from tests.aws.lab.image import ROOT
from tests.aws.lab.rollout import Rollout

from dynwork.testing.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

Tell = Callable[[str], None]

STACK, PASSWORD = "one", "it's-a-secret"
TEMPLATE = Path(__file__).parent / "rollout.yaml"
KEEP_SIZE = "--no-should-decrement-desired-capacity"
FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=3).read().decode())"
CONNECT = """
import asyncio, asyncpg, sys
async def main():
    connection = await asyncpg.connect(sys.argv[1])
    print(await connection.fetchval(
        "SELECT current_database() || ' of ' || rolname || ' ' || rolsuper FROM pg_roles WHERE rolname = current_user"
    ))
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def rollout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rollout]:
    with Rollout(tmp_path_factory.mktemp("rollout"), ROOT / ".venv" / "lab") as rollout:
        yield rollout


class Deployed:
    """The stack of the test, as the command line sees it."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout

    def aws(self, *arguments: str) -> Any:
        said = self._rollout.run("aws", *arguments, "--output", "json")
        return json.loads(said) if said.strip() else None

    def deploy(self, **parameters: str) -> str:
        given = [f"{name}={value}" for name, value in parameters.items()]
        where = ["--stack-name", STACK, "--template-file", str(TEMPLATE), "--capabilities", "CAPABILITY_IAM"]
        return self._rollout.run("aws", "cloudformation", "deploy", *where, "--parameter-overrides", *given)

    def output(self, name: str) -> str:
        (stack,) = self.aws("cloudformation", "describe-stacks", "--stack-name", STACK)["Stacks"]
        return str({one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}[name])

    def members(self) -> dict[str, str]:
        """The machines that serve, and from which version of the template each was launched."""
        (group,) = self._rollout.service("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
        found = [one for one in group["Instances"] if one["LifecycleState"] == "InService"]
        return {one["InstanceId"]: one["LaunchTemplate"]["Version"] for one in found}

    def health(self) -> dict[str, str]:
        elb = self._rollout.service("elbv2")
        (group,) = elb.describe_target_groups()["TargetGroups"]
        described = elb.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
        return {one["Target"]["Id"]: one["TargetHealth"]["State"] for one in described}

    def await_healthy(self, *without: str) -> set[str]:
        """Wait until two machines serve, none of those, and both are healthy; return them."""

        def healthy() -> set[str]:
            self._rollout.check()
            health = self.health()
            well = set(health.values()) == {"healthy"} and health.keys() == self.members().keys()
            return set(health) if well and len(health) == 2 and not health.keys() & set(without) else set()

        return wait_until(healthy, "two healthy machines", 60.0, every_s=0.2)

    def answers(self, times: int) -> set[str]:
        """What the load balancer answers, called by its name."""
        url = f"http://{self.output('Name')}/"
        return {self._rollout.run("python3", "-c", FETCH, url).strip() for _ in range(times)}


def connect(rollout: Rollout, url: str) -> str:
    return rollout.run(sys.executable, "-c", CONNECT, url).strip()


def host(rollout: Rollout, machine: str) -> str:
    return f"ip-{rollout.boxes.running[machine].address.replace('.', '-')}"


@pytest.mark.long
def test_a_stack_comes_to_life_changes_loses_machines_and_goes_without_a_trace(rollout: Rollout, tell: Tell) -> None:
    before = contents(rollout.service)
    stack = Deployed(rollout)
    rollout.service("ssm").put_parameter(Name="/one/password", Value=PASSWORD, Type="SecureString")
    stack.deploy(Word="first")
    first = stack.await_healthy()
    assert len({rollout.boxes.running[name].instance["SubnetId"] for name in first}) == 2, "one in each zone"
    assert stack.answers(4) == {f"first from {host(rollout, name)}" for name in first}

    url = f"postgresql://clerk:it%27s-a-secret@{stack.output('Host')}/jobs?sslmode="
    assert connect(rollout, f"{url}require") == "jobs of clerk false"
    with pytest.raises(AssertionError, match="Connection"):
        connect(rollout, f"{url}disable")

    stack.deploy(Word="second")
    assert stack.await_healthy() == first, "a change of the template is none of what runs"
    assert set(stack.members().values()) == {"1"}
    assert stack.output("Version") == "2"

    killed, sick = sorted(first)
    rollout.boxes.kill(killed)
    second = stack.await_healthy(killed) - first
    assert [stack.members()[name] for name in second] == ["2"]
    assert f"second from {host(rollout, *second)}" in stack.answers(3)

    without = f"first from {host(rollout, sick)}"
    assert without in stack.answers(3)
    rollout.boxes.kill_in(sick, "http.server")
    wait_until(lambda: stack.health().get(sick) != "healthy", "it is taken out", 20.0)
    assert without not in stack.answers(3), "only who is healthy is called"
    third = stack.await_healthy(sick)
    assert set(stack.members().values()) == {"2"}
    wait_until(lambda: sick in rollout.boxes.gone, "it has drained, and ended")

    group = stack.aws("autoscaling", "describe-auto-scaling-groups")["AutoScalingGroups"][0]["AutoScalingGroupName"]
    (old, kept) = sorted(third)
    stack.aws(*f"autoscaling terminate-instance-in-auto-scaling-group --instance-id {old}".split(), KEEP_SIZE)
    assert stack.health()[old] == "draining"
    assert kept in stack.await_healthy(old)
    stack.aws(*f"autoscaling set-desired-capacity --auto-scaling-group-name {group} --desired-capacity 3".split())
    wait_until(lambda: len(stack.members()) == len(rollout.boxes.running) == 3, "a third machine", 30.0)
    assert len(rollout.boxes.gone) == 3, "each that was lost was replaced once"

    database = stack.aws("rds", "describe-db-instances")["DBInstances"][0]["DBInstanceIdentifier"]
    stack.aws(*f"rds modify-db-instance --db-instance-identifier {database} --no-deletion-protection".split())
    stack.aws("cloudformation", "delete-stack", "--stack-name", STACK)
    stack.aws("cloudformation", "wait", "stack-delete-complete", "--stack-name", STACK)
    assert contents(rollout.service) == before
    wait_until(lambda: not rollout.boxes.running, "the last box is gone")
    wait_until(lambda: "rds" not in rollout.names.file.read_text(), "the names are gone")
    rollout.check()
