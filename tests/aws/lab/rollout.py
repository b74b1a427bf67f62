"""An account that a rollout begins in: nothing is there but a default VPC, and all that a template makes comes to life.

with Rollout(folder, cache) as rollout:
    rollout.run("aws", "cloudformation", "deploy", ...)     # on the control side, where every name is known
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.aws.lab.balancers import Balancers
from tests.aws.lab.boxes import Boxes
from tests.aws.lab.database import RunningDatabases
from tests.aws.lab.ground import Ground
from tests.aws.lab.image import build_image, command_line
from tests.aws.lab.machines import Delays
from tests.aws.lab.names import Names
from tests.aws.lab.network import Network

VPC = ipaddress.IPv4Network("10.80.0.0/16")
"""Of the stack, see deploy/aws/dynwork.yaml."""
REGION = "eu-central-1"
LIFE = Delays(pending_s=0.5, unseen_s=0.5, ending_s=20.0, pace=0.1, grace_pace=0.3)


class Rollout(Ground):
    """``folder`` has the logs of every box and of the databases, too."""

    def __init__(self, folder: Path, cache: Path, life: Delays = LIFE) -> None:
        super().__init__(folder, Network(VPC), life)
        self._image = build_image(folder, cache, self.url)
        self._programs = folder / "bin"
        self._programs.mkdir()
        (self._programs / "aws").symlink_to(command_line(cache))
        self.names = Names(folder / "hosts")

    def build(self, ends: contextlib.ExitStack) -> None:
        """See :meth:`Ground.build`."""
        self._balancers = ends.enter_context(Balancers(self.network, self.url, self.names))
        self._databases = ends.enter_context(RunningDatabases(self.network, self.url, self.names, self.folder))
        boxes = Boxes(self.network, self.cloud, self._image, self.folder / "boxes", self.names)
        self.boxes = ends.enter_context(boxes)

    def check(self) -> None:
        """Raise what went wrong with a part of it, if anything did."""
        for part in (self.boxes, self._balancers, self._databases):
            part.check()

    def service(self, name: str) -> Any:
        """Return a client of one of the cloud's services."""
        return self.boxes.service(name)

    def environment(self, **more: str) -> dict[str, str]:
        """Return what a program on the control side finds: credentials, where AWS is, the CLI."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DYNWORK_"))}
        return {
            **kept,
            "PATH": f"{self._programs}:{kept['PATH']}",
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_SECRET_ACCESS_KEY": "lab",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
            **more,
        }

    def command(self, *command: str) -> Sequence[str]:
        """Return the command that runs ``command`` where the names of the VPC are known."""
        return self.names.resolving(command)

    def run(self, *command: str, timeout_s: float = 300.0, **environment: str) -> str:
        """Run a command that must succeed; return what it says."""
        self.check()
        done = subprocess.run(
            self.command(*command),
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout
