"""scripts/init.sh, as somebody would run it: from an empty account to a hash, updates, losses, and down again.

The machines are boxes that boot from the template's own user data (:mod:`tests.aws.lab.rollout`); the release is built
by the script itself, from wheels that are at hand.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest
from tests.aws.account import contents, left_elsewhere
from tests.aws.lab.image import ROOT, fetch_wheels
from tests.aws.lab.rollout import REGION, Rollout

from dynwork import Client
from dynwork.clock import SystemClock
from dynwork.testing.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

Tell = Callable[[str], None]
COPIED = ("src", "scripts", "deploy", "requirements", "setup.py", "pyproject.toml", "README.md", "LICENSE")
RUN_S_MAX = 300.0
BUFFER, BASE = b"what the cloud is to hash", 3_000_000


@pytest.fixture(scope="module")
def rollout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rollout]:
    with Rollout(tmp_path_factory.mktemp("rollout"), ROOT / ".venv" / "lab") as rollout:
        yield rollout


class Person:
    """Somebody with a copy of the project, bash, the AWS CLI and credentials."""

    def __init__(self, rollout: Rollout, folder: Path) -> None:
        self.rollout = rollout
        self.checkout = folder / "checkout"
        self.checkout.mkdir()
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, self.checkout / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
            else:
                shutil.copy(source, self.checkout)
        self._wheels = fetch_wheels(ROOT / ".venv" / "lab")

    def begin(self, *options: str, script: str = "init.sh") -> subprocess.Popen[str]:
        """Start a script, in a process group of its own."""
        environment = self.rollout.environment(
            PIP_NO_INDEX="1", PIP_FIND_LINKS=str(self._wheels), PYTHON="/usr/bin/python3.11"
        )
        return subprocess.Popen(
            self.rollout.command(str(self.checkout / "scripts" / script), *options),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def run(self, *options: str, script: str = "init.sh", code: int = 0) -> str:
        """Run a script to its end; return what it says."""
        self.rollout.check()
        running = self.begin(*options, script=script)
        try:
            said, _ = running.communicate(timeout=RUN_S_MAX)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            raise
        with (self.rollout.folder / "said.log").open("a") as log:
            log.write(f"\n$ {script} {' '.join(options)}\n{said}")
        assert running.returncode == code, said
        return said

    def abort(self, when: str, *options: str) -> str:
        """Run the script until it says something, and kill it then, with all that it started."""
        script, said = self.begin(*options), ""
        assert script.stdout is not None
        for line in script.stdout:
            said += line
            if when in line:
                break
        os.killpg(script.pid, signal.SIGKILL)
        script.communicate()
        assert when in said, said
        return said

    def change_something(self) -> None:
        """Another release: what is in it differs."""
        with (self.checkout / "README.md").open("a") as readme:
            readme.write("\nAnother release.\n")


class Site:
    """What was rolled out, seen from outside and by the cloud."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout

    def machines(self, role: str) -> list[str]:
        """Those that have not been told to end."""
        filters = [
            {"Name": "tag:dynwork:role", "Values": [role]},
            {"Name": "instance-state-name", "Values": ["pending", "running"]},
        ]
        pages = self._rollout.service("ec2").describe_instances(Filters=filters)["Reservations"]
        return sorted(one["InstanceId"] for page in pages for one in page["Instances"])

    def all(self) -> dict[str, list[str]]:
        return {role: self.machines(role) for role in ("api", "orchestrator", "worker")}

    @property
    def url(self) -> str:
        """The public address, as one who knows the names resolves it."""
        (stack,) = self._rollout.service("cloudformation").describe_stacks()["Stacks"]
        (url,) = [one["OutputValue"] for one in stack["Outputs"] if one["OutputKey"] == "Url"]
        name = str(url).removeprefix("http://")
        lines = self._rollout.names.file.read_text().splitlines()
        (address,) = [line.split()[0] for line in lines if line.split()[1] == name]
        return f"http://{address}"

    def client(self) -> Client:
        ssm = self._rollout.service("ssm")
        key = ssm.get_parameter(Name="/dynwork/prod/admin-key", WithDecryption=True)["Parameter"]["Value"]
        return Client(self.url, api_key=key, patience_s=180.0)


def right_hashes(iterations: list[int]) -> dict[int, str]:
    """The hash after each of these numbers of iterations, the smallest first."""
    state, done, found = BUFFER, 0, {}
    for wanted in sorted(iterations):
        while done < wanted:
            state, done = hashlib.sha512(state).digest(), done + 1
        found[wanted] = state.hex()
    return found


class Load:
    """Jobs are submitted, one after the other, until it is said to stop; then each must have its hash."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._submit, name="load")
        self.ids: dict[str, int] = {}

    def _submit(self) -> None:
        with self._site.client() as client:
            number = 0
            while not self._stop.wait(0.25):
                number += 1
                iterations = BASE + number
                self.ids[client.submit(BUFFER, iterations)] = iterations

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> int:
        """Every job that was accepted has its hash, and only one; return how many there are."""
        right = right_hashes(list(self.ids.values()))
        with self._site.client() as client:
            for job_id, iterations in self.ids.items():
                assert client.result(job_id, wait_s=120) == right[iterations]
            listed = [job.job_id for job in client.jobs(limit=1000)]
        assert len(listed) == len(set(listed))
        return len(self.ids)


def now() -> float:
    return SystemClock().monotonic()


OPTIONS = ("--stack", "prod", "--region", REGION, "--max-workers", "2")


BACK = ("--stack", "prod", "--region", REGION, "--destroy", "--yes")
SEEN_HERE = {
    "the address answers",
    "the APIs are in two zones",
    "no machine has a public address",
    "a worker's console output can be read",
    "an API that dies is replaced, and the address answers meanwhile",
}
"""What of the checks of verify-aws.sh is not about what is Amazon's alone: rights, disks, agents, where logs go."""
ONE_OF_EACH = {"api": 2, "orchestrator": 1, "worker": 1}


def sizes(machines: dict[str, list[str]]) -> dict[str, int]:
    return {role: len(names) for role, names in machines.items()}


def test_from_an_empty_account_to_a_hash_and_back(rollout: Rollout, tmp_path: Path, tell: Tell) -> None:
    before = contents(rollout.service)
    person, site = Person(rollout, tmp_path), Site(rollout)

    began = now()
    said = person.run(*OPTIONS, "--insecure-http")
    made_s = now() - began
    assert re.search(r"one real job, and its hash\n    [0-9a-f-]{36}: [0-9a-f]{128}\n", said)
    assert "\n    Database: CREATE_COMPLETE\n" in said, "what happens is told"
    assert re.search(r"api: 2\norchestrator: 1\nworker: 1\n", said)
    first = site.all()
    assert sizes(first) == ONE_OF_EACH

    began = now()
    said = person.run(*OPTIONS)
    again_s = now() - began
    assert site.all() == first, "nothing is replaced when nothing is different"
    assert "replacing" not in said
    assert "UPDATE" not in said
    assert person.run("--stack", "prod", "--region", REGION, "--status").endswith("worker: 1\nready\n")

    began = now()
    assert "nothing of 'prod' is left" in person.run(*BACK)
    gone_s = now() - began
    assert contents(rollout.service) == before
    assert left_elsewhere(rollout.service) == []
    tell(f"from nothing to a hash {made_s:.0f} s, again {again_s:.0f} s, down {gone_s:.0f} s")


@pytest.mark.long
def test_a_rollout_that_fails_is_aborted_loses_machines_and_is_updated_under_load_loses_no_job(
    rollout: Rollout, tmp_path: Path, tell: Tell
) -> None:
    before = contents(rollout.service)
    person, site = Person(rollout, tmp_path), Site(rollout)

    rollout.cloud.fail("AWS::EC2::EIP", "AddressLimitExceeded", message="The maximum number of addresses is reached.")
    assert "NatAddressA: The maximum number of addresses is reached." in person.run(*OPTIONS, "--insecure-http", code=1)
    said = person.abort("==> the stack prod", *OPTIONS)
    assert "an earlier run was not completed (ROLLBACK_COMPLETE)" in said
    began = now()
    said = person.run(*OPTIONS, "--insecure-http")
    made_s = now() - began
    first = site.all()
    assert sizes(first) == ONE_OF_EACH

    with Load(site) as load:
        wait_until(lambda: len(load.ids) > 3, "jobs are submitted")
        (dead,) = site.machines("orchestrator")
        began = now()
        rollout.boxes.kill(dead)
        wait_until(lambda: set(site.machines("orchestrator")) - {dead}, "its group has replaced it", 120.0)
        so_far = len(load.ids)
        wait_until(lambda: len(load.ids) > so_far + 3, "jobs are accepted again", 120.0)
        lost_s = now() - began
    jobs = load.check()

    with Load(site) as load:
        asked = ("--stack", "prod", "--region", REGION, "--patience", "45")
        verified = person.run(*asked, script="verify-aws.sh", code=1).splitlines()
    jobs += load.check()
    assert {line.removeprefix("ok ").strip() for line in verified if line.startswith("ok ")} >= SEEN_HERE

    person.change_something()
    with Load(site) as load:
        began = now()
        person.abort("==> replacing the API", *OPTIONS)
        said = person.run(*OPTIONS)
        update_s = now() - began
    jobs += load.check()
    after = site.all()
    for role, names in first.items():
        assert not set(names) & set(after[role]), f"every {role} is of the new release"
    assert {role: len(names) for role, names in after.items() if role != "worker"} == {"api": 2, "orchestrator": 1}

    assert "nothing of 'prod' is left" in person.run(*BACK)
    assert contents(rollout.service) == before
    assert left_elsewhere(rollout.service) == []
    tell(
        f"after a failed and an aborted run, to a hash {made_s:.0f} s; an orchestrator's machine killed: jobs are taken"
        f" again after {lost_s:.0f} s; update, aborted once, {update_s:.0f} s; {jobs} hashes right"
    )
