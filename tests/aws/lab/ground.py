"""The ground of every lab: a network, and a cloud on it, started as a process of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from tests.aws.lab.boxes import dying_with_us
from tests.aws.lab.cloud import Cloud
from tests.aws.lab.image import ROOT
from tests.aws.lab.machines import Delays
from tests.aws.lab.network import Network

from dynwork.testing.waiting import wait_until

PORT = 5000
TOOLS = ("gcc", "ip", "nsenter", "openssl", "python3.11", "systemd-analyze", "unshare")


class Ground:
    """Use as a context manager. Everything started inside by this thread is on the control side.

    ``folder`` has the log of the cloud. What else is there is begun in :meth:`build`.
    """

    def __init__(self, folder: Path, network: Network, life: Delays) -> None:
        for tool in TOOLS:
            assert shutil.which(tool), f"{tool} is not there: .ci/run installs it"
        self.folder = folder
        self.network = network
        self.url = f"http://{network.control_address}:{PORT}"
        self._life = life
        self._ends = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as ends:
            ends.enter_context(self.network)
            ends.enter_context(self.network.entered())
            ends.callback(_start_cloud(self.network.control_address, self.folder, self._life))
            self.cloud = Cloud(self.url)
            ends.callback(self.cloud.close)
            self.build(ends)
            self._ends = ends.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def build(self, ends: contextlib.ExitStack) -> None:
        """Begin what stands on this ground; ``ends`` ends it."""
        raise NotImplementedError


def _start_cloud(host: str, folder: Path, delays: Delays) -> Callable[[], None]:
    """Start a cloud that ends, at the latest, with this process; return how it is ended."""
    said = [f"--{name.replace('_', '-')}={value}" for name, value in asdict(delays).items()]
    with (folder / "cloud.log").open("wb") as log:
        process = subprocess.Popen(
            dying_with_us(sys.executable, "-m", "tests.aws.lab.cloud", host, str(PORT), *said),
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "lab"},
        )
    wait_until(lambda: _answers(Cloud(f"http://{host}:{PORT}")), "the cloud answers", 60.0)

    def end() -> None:
        process.kill()
        process.wait()

    return end


def _answers(cloud: Cloud) -> bool:
    try:
        cloud.calls("DescribeInstances")
    except httpx.TransportError:
        return False
    finally:
        cloud.close()
    return True
