"""The fleet on an EC2 that boots: real user data, systemd and release, every hash checked; and what goes wrong there.

Instances are boxes in namespaces without a way out (:mod:`tests.aws.lab`), the orchestrator and the API are processes
on the control side. Every number of machines is looked at in the cloud, not in what the orchestrator says of itself.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.aws.lab.image import ROOT
from tests.aws.lab.network import CONTROL
from tests.aws.lab.site import API_TOKEN, SECRET, WORKER_TOKEN, Lab

from dynwork import Client
from dynwork.clock import SystemClock
from dynwork.kinds.sha512_chain import KIND
from dynwork.orchestrator.fleet.ec2.provider import CLUSTER_TAG, INSTANCE_TAG
from dynwork.testing.processes import LoneRole
from dynwork.testing.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(600), pytest.mark.xdist_group("booting")]

Tell = Callable[[str], None]

BUFFER, BASE = b"what the cloud is to hash", 12_000_000
"""Every job is a little more than :data:`BASE` iterations of one buffer: so one pass makes all the right hashes."""
BOOT_S_MAX = 180.0


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("lab"), ROOT / ".venv" / "lab") as lab:
        yield lab


def right_hashes(count: int) -> list[str]:
    """What the jobs of ``BASE + 1`` to ``BASE + count`` iterations come to."""
    starter = KIND.start()
    starter.update(BUFFER)
    state, done = starter.finish()
    states, _ = KIND.advance([state], [BASE - done], BASE, float("inf"))
    hashes = []
    for _ in range(count):
        states = [hashlib.sha512(states[0]).digest()]
        hashes.append(states[0].hex())
    return hashes


class Site:
    """An orchestrator and an API on the control side."""

    def __init__(self, lab: Lab, folder: Path, **changes: str) -> None:
        self.lab = lab
        self._before = set(lab.ever())
        self.orchestrator = LoneRole("orchestrator", folder)
        self.orchestrator.url = f"http://{CONTROL}:{self.orchestrator.port}"
        self.orchestrator.set(**lab.orchestrator(self.orchestrator.port, **changes))
        self.api = LoneRole("api", folder, DYNWORK_ORCHESTRATOR_URLS=self.orchestrator.url, DYNWORK_API_TOKEN=API_TOKEN)

    def fleet(self) -> dict[str, Any]:
        """``GET /internal/fleet``."""
        self.lab.boxes.check()
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        answer = httpx.get(f"{self.orchestrator.url}/internal/fleet", headers=headers, trust_env=False, timeout=10)
        found: dict[str, Any] = answer.raise_for_status().json()["fleet"]
        return found

    def leases_expired(self) -> float:
        """How many leases were taken back from workers that were gone."""
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        page = httpx.get(f"{self.orchestrator.url}/metrics", headers=headers, trust_env=False, timeout=10).text
        return float(page.partition("\ndynwork_leases_expired_total ")[2].split()[0])

    def ready(self) -> list[dict[str, Any]]:
        """The workers that are ready."""
        return [worker for worker in self.fleet()["workers"] if worker["state"] == "ready"]

    def await_ready(self, count: int) -> None:
        """Wait until so many workers are ready, and no more machines live than that."""

        def as_many() -> bool:
            living = {machine["InstanceId"] for machine in self.lab.living()}
            return set(self.instances("running").values()) == living and len(self.ready()) == len(living) == count

        wait_until(as_many, f"{count} machines, each with a ready worker", BOOT_S_MAX, every_s=0.25)

    def launched(self) -> list[str]:
        """Every machine that was ever launched here, by the provider's name."""
        return [name for name in self.lab.ever() if name not in self._before]

    def instances(self, state: str) -> dict[str, str]:
        """The provider's names of the instances in ``state``, by ours."""
        found = self.fleet()["instances"]
        return {one["instance_id"]: one["provider_id"] for one in found if one["state"] == state}


@contextmanager
def site(lab: Lab, folder: Path, **changes: str) -> Iterator[Site]:
    """Run one; afterwards nothing of it is left in the cloud."""
    it = Site(lab, folder, **changes)
    lab.boxes.most = 0
    try:
        it.orchestrator.start(wait=False)
        it.api.start(wait=False)
        it.orchestrator.await_ready()
        it.api.await_ready()
        yield it
    finally:
        it.api.kill()
        it.orchestrator.kill()
        lab.cloud.mend()
        lab.boxes.spot.clear()
        for machine in lab.living():
            lab.boxes.client.terminate_instances(InstanceIds=[machine["InstanceId"]])
        for box in list(lab.boxes.running):
            lab.boxes.kill(box)
        wait_until(lambda: not lab.boxes.running, "every box is gone")


def now() -> float:
    return SystemClock().monotonic()


def test_the_fleet_grows_under_load_survives_a_notice_and_a_death_and_shrinks_again(
    lab: Lab, tmp_path: Path, tell: Tell
) -> None:
    jobs, most = 70, 3
    right = right_hashes(jobs)
    with site(lab, tmp_path, DYNWORK_FLEET_MAX=str(most)) as it, Client(it.api.url) as client:
        began = now()
        it.await_ready(1)
        booted_s, began = now() - began, now()
        ids = [client.submit(BUFFER, BASE + 1 + number) for number in range(jobs)]
        it.await_ready(most)
        grown_s = now() - began

        busy = next(worker for worker in it.ready() if worker["leases"])
        noticed = it.instances("running")[busy["instance_id"]]
        lab.boxes.spot[noticed] = json.dumps({"action": "terminate", "time": "2026-11-28T12:00:00Z"})
        began = now()
        wait_until(lambda: busy["instance_id"] in it.instances("noticed"), "the notice was heard of", 30.0)
        wait_until(lambda: noticed in lab.boxes.gone, "its machine was ended, idle", 30.0)
        noticed_s = now() - began
        assert it.leases_expired() == 0, "everything was handed back, and no busy machine ended"

        killed = next(provider_id for provider_id in it.instances("running").values())
        lab.boxes.kill(killed)
        began = now()
        wait_until(lambda: killed not in it.instances("running").values(), "its death was seen", 60.0)
        death_s = now() - began

        while (stats := client.stats()).succeeded < jobs:
            assert stats.dead == 0
            assert now() - began < 240, stats
        assert [client.result(job_id) for job_id in ids] == right
        assert {job.attempts for job in client.jobs(limit=1000)} == {0}, "what a cloud does is no error of the work"
        expired = it.leases_expired()
        assert expired > 0, "those of the machine that was killed"
        it.await_ready(1)
        assert it.leases_expired() == expired, "and of no other, to the end"
        assert lab.boxes.most == most
        assert it.instances("running") == {
            _tag(machine, INSTANCE_TAG): machine["InstanceId"] for machine in lab.living()
        }, "what the store has is what the cloud has"
    tell(
        f"first worker {booted_s:.0f} s after the start, {most} machines {grown_s:.0f} s after the load;"
        f" {noticed_s:.1f} s from the notice to the end of the idle machine, a death seen after {death_s:.1f} s;"
        f" {jobs} hashes right, never more than {lab.boxes.most} machines"
    )


def _tag(machine: dict[str, Any], key: str) -> str:
    return str({tag["Key"]: tag["Value"] for tag in machine["Tags"]}[key])


def test_a_machine_whose_worker_never_reports_is_ended_and_the_next_one_of_use_when_it_is_mended(
    lab: Lab, tmp_path: Path
) -> None:
    """The secret is a wrong one: the worker is refused for ever."""
    ssm = lab.boxes.service("ssm")
    ssm.put_parameter(Name=SECRET, Value="of-another-cluster", Type="SecureString", Overwrite=True)
    try:
        with site(lab, tmp_path, DYNWORK_FLEET_BOOT_TIMEOUT_S="45") as it:
            wait_until(lambda: it.instances("booting"), "it was launched")
            (silent,) = it.instances("booting").values()
            wait_until(lambda: silent in lab.boxes.gone, "it was ended", BOOT_S_MAX)
            assert "Created symlink" in lab.boxes.gone[silent].console, "it had booted"
            ssm.put_parameter(Name=SECRET, Value=WORKER_TOKEN, Type="SecureString", Overwrite=True)
            it.await_ready(1)
            assert [machine["InstanceId"] for machine in lab.living()] != [silent]
    finally:
        ssm.put_parameter(Name=SECRET, Value=WORKER_TOKEN, Type="SecureString", Overwrite=True)


def test_a_release_that_is_not_the_one_that_was_meant_is_not_installed_and_the_machine_ends_itself(
    lab: Lab, tmp_path: Path
) -> None:
    with site(lab, tmp_path, DYNWORK_EC2_RELEASE_SHA256="0" * 64) as it:
        wait_until(lambda: lab.boxes.gone.keys() & set(it.launched()), "it powered itself off", 60.0)
        (first, *_) = it.launched()
        assert "dynwork: the boot failed" in lab.boxes.gone[first].console
        wait_until(lambda: "failed in a row" in str(it.fleet()["decision"]), "the decision says so", 60.0)
        assert it.ready() == []


@pytest.mark.parametrize("effect", [False, True], ids=["between intent and launch", "between launch and reply"])
def test_an_orchestrator_killed_in_the_middle_of_a_launch_leaves_one_machine(
    lab: Lab, tmp_path: Path, effect: bool
) -> None:
    lab.cloud.fail("RunInstances", lost=True, effect=effect, delay_s=0.0 if effect else 3.0)
    before = lab.cloud.calls("RunInstances")
    with site(lab, tmp_path, DYNWORK_FLEET_MAX="1") as it:
        wait_until(lambda: lab.cloud.calls("RunInstances") > before, "the call is under way")
        it.orchestrator.kill()
        assert len(lab.living()) <= 1
        it.orchestrator.start()
        it.await_ready(1)
        assert len(it.launched()) == lab.boxes.most == 1, "one machine was ever made"
        assert len(it.instances("running")) == 1


def test_a_machine_that_somebody_ends_in_mid_job_hands_its_work_back_and_is_replaced(
    lab: Lab, tmp_path: Path, tell: Tell
) -> None:
    jobs = 6
    with site(lab, tmp_path, DYNWORK_FLEET_MAX="1") as it, Client(it.api.url) as client:
        it.await_ready(1)
        ids = [client.submit(BUFFER, BASE + 1 + number) for number in range(jobs)]
        wait_until(lambda: any(worker["leases"] for worker in it.ready()), "it is busy")
        (ended,) = it.instances("running").values()
        lab.boxes.client.terminate_instances(InstanceIds=[ended])
        began = now()
        wait_until(lambda: ended in lab.boxes.gone, "it is off", 60.0)
        off_s = now() - began
        it.await_ready(1)
        again_s = now() - began
        wait_until(lambda: client.stats().succeeded == jobs, "every job is done", 120.0)
        assert [client.result(job_id) for job_id in ids] == right_hashes(jobs)
        assert it.leases_expired() == 0, "it had time to hand back what it held"
    tell(f"a machine ended by hand in mid-job: off after {off_s:.1f} s, its successor at work after {again_s:.0f} s")


def stranger(lab: Lab, cluster: str) -> str:
    """Launch a machine that says to belong to a cluster, and of which none of its orchestrators knows."""
    tags = [{"Key": CLUSTER_TAG, "Value": cluster}, {"Key": INSTANCE_TAG, "Value": str(uuid.uuid4())}]
    made = lab.boxes.client.run_instances(
        MinCount=1,
        MaxCount=1,
        LaunchTemplate={"LaunchTemplateName": "worker"},
        SubnetId=lab.subnets[0],
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    return str(made["Instances"][0]["InstanceId"])


def test_a_stranger_is_ended_a_dead_worker_started_again_and_one_that_nobody_serves_ends_its_machine(
    lab: Lab, tmp_path: Path, tell: Tell
) -> None:
    with site(lab, tmp_path, DYNWORK_WORKER_ORPHAN_S="15") as it:
        it.await_ready(1)
        (machine,) = it.instances("running").values()
        (known,) = lab.living()
        unknown = stranger(lab, _tag(known, CLUSTER_TAG))
        (worker,) = it.ready()
        lab.boxes.kill_in(machine, "dynwork.worker")
        wait_until(
            lambda: worker["started_at"] not in [one["started_at"] for one in it.ready()], "it fell silent", 30.0
        )
        wait_until(it.ready, "systemd has started it again", 60.0)
        wait_until(lambda: unknown in lab.boxes.gone, "the machine that nobody ordered was ended", 60.0)
        assert machine in lab.boxes.running, "the death of a process is none of its machine"
        it.orchestrator.kill()
        began = now()
        wait_until(lambda: machine in lab.boxes.gone, "it has powered itself off", 60.0)
        tell(f"powered off {now() - began:.0f} s after the last orchestrator died (15 s were set)")
        wait_until(lambda: lab.living() == [], "the cloud has ended it")
