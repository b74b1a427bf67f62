"""Boots what the cloud says is running, and ends what it says is to end.

An instance becomes a *box*: a namespace with its own address on the bridge, a copy-on-write disk over the image, the
real systemd as its first process, and the unmodified user data, run as root. A box that powers itself off is stopped or
terminated, as its launch said. One that is shutting down is told so as by its power button, and goes on until it is off
or the cloud's patience with it is over.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import botocore.session
from botocore.config import Config
from tests.aws.lab.cloud import Cloud
from tests.aws.lab.names import Names
from tests.aws.lab.network import Network, inside
from tests.aws.lab.watcher import Watcher

from dynwork.testing.waiting import wait_until

HERE = Path(__file__).parent
CGROUPS = Path("/sys/fs/cgroup/unified") if Path("/sys/fs/cgroup/unified").is_dir() else Path("/sys/fs/cgroup")
LOOK_S = 0.2
ENDING, ENDED = ("shutting-down", "stopping"), ("terminated", "stopped")
POWER_BUTTON = signal.SIGRTMIN + 4
"""What systemd takes for it when there is none, see systemd(1): it starts ``poweroff.target``."""


@dataclass
class Box:
    """One instance that runs. ``folder`` has its console's output."""

    provider_id: str
    address: str
    folder: Path
    process: subprocess.Popen[bytes]
    instance: dict[str, Any]
    namespace: str

    @property
    def console(self) -> str:
        """What it has said."""
        return (self.folder / "console.log").read_text(errors="replace")

    def press_power_button(self) -> None:
        """Let it end in its own time; one that has not come as far as its systemd does not hear it."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for pid in children.read_text().split():
                os.kill(int(pid), POWER_BUTTON)


def dying_with_us(*command: str) -> list[str]:
    """Return the command that ends, at the latest, when whoever starts it does."""
    return ["setpriv", "--pdeathsig", "KILL", *command]


def _removed(group: Path) -> bool:
    """Remove a control group; say whether that could be done: its last process may be on its way out."""
    try:
        group.rmdir()
    except OSError:
        return not group.exists()
    return True


class Boxes(Watcher):
    """To be used on the control side of the network."""

    def __init__(self, network: Network, cloud: Cloud, image: Path, folder: Path, names: Names | None = None) -> None:
        """``names``: those that the machines know, now and later."""
        super().__init__("boxes")
        self._network = network
        self._names = names
        self._cloud = cloud
        self._image = image
        self._folder = folder
        self._state = folder / "imds.json"
        self._boots = 0
        self.running: dict[str, Box] = {}
        self.gone: dict[str, Box] = {}
        self.spot: dict[str, str] = {}
        """Notices, by provider id: what is at ``spot/instance-action``."""
        self.most = 0
        """How many instances were ever pending or running at a time; one under notice is given up, and not counted."""
        self.client = self.service("ec2")

    def service(self, name: str) -> Any:
        """Return a client of one of the cloud's services."""
        session = botocore.session.get_session()
        session.set_credentials("lab", "lab")
        config = Config(retries={"total_max_attempts": 2}, connect_timeout=5, read_timeout=20)
        return session.create_client(name, region_name="eu-central-1", endpoint_url=self._cloud.url, config=config)

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._state.write_text("{}")
        command = [sys.executable, "-m", "tests.aws.lab.imds", str(self._state)]
        self._imds = subprocess.Popen(dying_with_us(*inside(self._network.vpc, command)), cwd=HERE.parents[2])
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        for box in list(self.running.values()):
            self._kill(box)
        self._imds.kill()
        self._imds.wait()

    def check(self) -> None:
        """See :meth:`Watcher.check`."""
        super().check()
        assert self._imds.poll() is None, "the metadata service has ended"

    def kill(self, provider_id: str) -> None:
        """Pull the plug: the machine is gone, and the cloud finds out."""
        os.killpg(self.running[provider_id].process.pid, signal.SIGKILL)

    def kill_in(self, provider_id: str, module: str) -> None:
        """Kill the processes of an instance that run this module of Python."""
        group = CGROUPS / self.running[provider_id].namespace
        pids = [int(pid) for file in group.glob("**/cgroup.procs") for pid in file.read_text().split()]
        meant = [pid for pid in pids if module in Path(f"/proc/{pid}/cmdline").read_text().split("\0")]
        assert meant, f"nobody runs {module}"
        for pid in meant:
            os.kill(pid, signal.SIGKILL)

    def watch(self) -> None:
        """See :meth:`Watcher.watch`."""
        while not self.stop.wait(LOOK_S):
            self._look()

    def _look(self) -> None:
        pages = self.client.describe_instances()["Reservations"]
        instances = {one["InstanceId"]: one for page in pages for one in page["Instances"]}
        for provider_id, instance in instances.items():
            if instance["State"]["Name"] == "running" and provider_id not in self.running | self.gone:
                self.running[provider_id] = self._boot(instance)
        up = [name for name, one in instances.items() if one["State"]["Name"] in ("pending", "running")]
        self.most = max(self.most, len(set(up) - self.spot.keys()))
        self._tell(instances)
        for provider_id, box in list(self.running.items()):
            if provider_id not in instances:
                continue  # a list may lag
            state = instances[provider_id]["State"]["Name"]
            if box.process.poll() is not None:  # it powered itself off, or somebody pulled the plug
                self._kill(box)
                if state not in ENDING + ENDED:
                    self.client.terminate_instances(InstanceIds=[provider_id])
                self._cloud.off(provider_id)
            elif state in ENDED:
                self._kill(box)
            elif state in ENDING:
                box.press_power_button()

    def _boot(self, instance: dict[str, Any]) -> Box:
        provider_id, address = instance["InstanceId"], instance["PrivateIpAddress"]
        folder = self._folder / provider_id
        folder.mkdir()
        attribute = self.client.describe_instance_attribute(InstanceId=provider_id, Attribute="userData")
        (folder / "user-data").write_bytes(base64.b64decode(attribute["UserData"].get("Value", "")))
        self._boots += 1
        namespace = f"{self._network.vpc}-{self._boots}"
        self._network.join(namespace, address)
        group = CGROUPS / namespace
        group.mkdir()
        unshared = ["unshare", "--pid", "--fork", "--kill-child=KILL", "--mount", "--uts", "--ipc", "--cgroup"]
        init = [str(HERE / "box-init.sh"), str(folder), str(self._image), provider_id, address]
        if self._names is not None:
            self._names.add(f"ip-{address.replace('.', '-')}", address)
            init.append(str(self._names.file))
        enter = f"echo $$ >{group}/cgroup.procs; exec {' '.join(inside(namespace, [*unshared, *init]))}"
        with (folder / "console.log").open("wb") as console:
            process = subprocess.Popen(
                dying_with_us("bash", "-c", enter),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Box(provider_id, address, folder, process, instance, namespace)

    def _tell(self, instances: dict[str, dict[str, Any]]) -> None:
        """Write down what the metadata service says."""
        state = {}
        for provider_id, box in self.running.items():
            instance = instances.get(provider_id, box.instance)
            zone = instance["Placement"]["AvailabilityZone"]
            keys = {"Code": "Success", "AccessKeyId": "ASIALAB", "SecretAccessKey": "lab", "Token": "lab"}
            expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 21_600))
            meta = {
                "instance-id": provider_id,
                "instance-type": instance["InstanceType"],
                "local-ipv4": box.address,
                "placement/availability-zone": zone,
                "placement/region": zone[:-1],
                "instance-life-cycle": instance.get("InstanceLifecycle", "on-demand"),
                "iam/security-credentials/worker": json.dumps({**keys, "Expiration": expires}),
            }
            if provider_id in self.spot:
                meta["spot/instance-action"] = self.spot[provider_id]
            state[box.address] = {"meta": meta, "http_tokens": "required"}
        draft = self._state.with_suffix(".draft")
        draft.write_text(json.dumps(state))
        draft.rename(self._state)

    def _kill(self, box: Box) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(box.process.pid, signal.SIGKILL)
        box.process.wait()
        self.gone[box.provider_id] = self.running.pop(box.provider_id)
        self._network.leave(box.namespace)
        for group in sorted((CGROUPS / box.namespace).glob("**/"), reverse=True):
            wait_until(partial(_removed, group), f"nobody is in {group}")
