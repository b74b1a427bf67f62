"""An orchestrator that is to run its fleet on EC2 refuses to start when it could not, in one clear sentence."""

from __future__ import annotations

from typing import Any

import pytest
from tests.aws.lab.cloud import Cloud

from dynwork.compose import _ec2, _orchestrator
from dynwork.errors import ConfigurationError, FleetError
from dynwork.orchestrator.fleet.provider import Machine
from dynwork.orchestrator.store.memory import MemoryStore
from dynwork.settings import OrchestratorSettings, load
from dynwork.settings.orchestrator import EC2_NEEDS
from dynwork.testing.clock import FakeClock

WHOLE = {
    "DYNWORK_FLEET_PROVIDER": "ec2",
    "DYNWORK_ORCHESTRATOR_URLS": "http://o.internal:8100",
    "DYNWORK_EC2_REGION": "eu-central-1",
    "DYNWORK_EC2_TEMPLATE": "lt-0123456789abcdef0:3",
    "DYNWORK_EC2_INSTANCE_TYPES": "c7a.large, c6a.large",
    "DYNWORK_EC2_SUBNETS": "subnet-1,subnet-2",
    "DYNWORK_EC2_RELEASE": "s3://bucket/releases/1",
    "DYNWORK_EC2_RELEASE_SHA256": "0" * 64,
    "DYNWORK_EC2_WORKER_SECRET": "/dynwork/token",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    return monkeypatch


async def made(settings: OrchestratorSettings) -> Any:
    async with _ec2.provider(settings, settings.orchestrator_urls, MemoryStore(), FakeClock()) as provider:
        return provider


async def test_with_everything_it_needs_it_begins_with_the_best_spot_pool(environment: pytest.MonkeyPatch) -> None:
    provider = await made(load(OrchestratorSettings))
    assert provider.place() == "spot/c7a.large/subnet-1"
    environment.setenv("DYNWORK_EC2_SPOT", "false")
    provider = await made(load(OrchestratorSettings))
    assert provider.place() == "on-demand/c7a.large/subnet-1"
    parameters = provider._launch_parameters("our-id", provider._setup.pools[0], "cluster")
    assert parameters["LaunchTemplate"] == {"LaunchTemplateId": "lt-0123456789abcdef0", "Version": "3"}
    assert "InstanceMarketOptions" not in parameters


@pytest.mark.parametrize("name", [*(f"DYNWORK_{name.upper()}" for name in EC2_NEEDS), "DYNWORK_ORCHESTRATOR_URLS"])
def test_what_is_missing_is_named(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.delenv(name)
    with pytest.raises(ConfigurationError, match=f"DYNWORK_FLEET_PROVIDER=ec2 needs {name} as well"):
        load(OrchestratorSettings)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("DYNWORK_EC2_RELEASE", "https://elsewhere", "the release must be s3://bucket/prefix"),
        ("DYNWORK_EC2_RELEASE_SHA256", "abc", "64 hex digits"),
        ("DYNWORK_EC2_WORKER_SECRET", "a b", "SSM parameter"),
        ("DYNWORK_ORCHESTRATOR_URLS", "http://o'", "DYNWORK_ORCHESTRATOR_URLS"),
        ("DYNWORK_EC2_TAGS", "team", "'team' is not key=value"),
        ("DYNWORK_EC2_TAGS", "team=a,=b", "'=b' is not key=value"),
        ("DYNWORK_EC2_TAGS", "dynwork:cluster=other", "a key that is free"),
        ("DYNWORK_EC2_TAGS", "aws:x=1", "a key that is free"),
    ],
)
async def test_what_no_machine_could_boot_from_is_refused_at_the_start(
    environment: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match=told):
        await made(load(OrchestratorSettings))


async def test_without_a_region_it_says_how_to_name_one(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("DYNWORK_EC2_REGION")
    environment.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(ConfigurationError, match="set DYNWORK_EC2_REGION"):
        await made(load(OrchestratorSettings))


def test_machines_that_boot_are_given_more_time_than_processes(environment: pytest.MonkeyPatch) -> None:
    on_ec2 = load(OrchestratorSettings)
    assert (on_ec2.backlog_target_s, on_ec2.cooldown_s) == (60.0, 120.0)
    environment.setenv("DYNWORK_FLEET_COOLDOWN_S", "7")
    assert load(OrchestratorSettings).cooldown_s == 7.0
    environment.setenv("DYNWORK_FLEET_PROVIDER", "local")
    environment.delenv("DYNWORK_FLEET_COOLDOWN_S")
    local = load(OrchestratorSettings)
    assert (local.backlog_target_s, local.cooldown_s) == (5.0, 5.0)


async def test_the_tags_that_somebody_wants_are_those_of_the_machines(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DYNWORK_EC2_TAGS", "team=video,stage=a=b")
    assert (await made(load(OrchestratorSettings)))._setup.tags == {"team": "video", "stage": "a=b"}


def test_what_is_handed_on_to_workers_is_in_what_they_boot(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DYNWORK_WORKER_SLOTS", "3")
    environment.setenv("DYNWORK_WORKER_ORPHAN_S", "90")
    settings = load(OrchestratorSettings)
    plan = _ec2.boot_plan(settings, "eu-central-1", settings.orchestrator_urls)
    assert plan.variables == {"DYNWORK_WORKER_SLOTS": "3", "DYNWORK_WORKER_ORPHAN_S": "90.0"}


@pytest.mark.parametrize(("code", "status"), [("InternalError", 500), ("RequestLimitExceeded", 503)])
async def test_a_call_that_never_succeeds_reaches_ec2_once_for_who_knows_its_token_repeats_it(
    environment: pytest.MonkeyPatch, cloud: Cloud, code: str, status: int
) -> None:
    settings = load(OrchestratorSettings)
    async with _ec2.provider(settings, settings.orchestrator_urls, MemoryStore(), FakeClock()) as provider:
        calls = {
            "RunInstances": provider.launch("our-id", provider.place()),
            "DescribeInstances": provider.machines(),
            "TerminateInstances": provider.terminate(Machine("our-id", "i-1")),
        }
        for action, call in calls.items():
            before = cloud.calls(action)
            cloud.fail(action, code, status=status, times=100)
            with pytest.raises(FleetError, match=code):
                await call
            assert cloud.calls(action) == before + 1


async def test_a_call_that_is_not_answered_is_given_up_before_a_look_is_stale(environment: pytest.MonkeyPatch) -> None:
    provider = await made(load(OrchestratorSettings))
    config = provider._client.meta.config
    assert config.connect_timeout + config.read_timeout < _orchestrator.SIGHT_S_MAX
