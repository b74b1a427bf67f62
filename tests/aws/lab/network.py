"""A VPC on this machine: namespaces on one bridge, none of which has a way out.

The bridge is in a namespace of its own, with the router's address and that of the metadata service, and with those of
what is a service and no instance: *edges*, from the last 256 addresses of the VPC. The *control* side
(the cloud, the orchestrators, the tests) is in another namespace on it, and each instance in one more. None has a
default route: a packet to anywhere else is "Network is unreachable", and never leaves the machine.
"""

from __future__ import annotations

import ctypes
import ipaddress
import itertools
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from dynwork.testing.waiting import wait_until

VPC = ipaddress.IPv4Network("172.31.0.0/16")
CONTROL, METADATA = str(VPC[-2]), "169.254.169.254"
EDGES_MAX = 200
NETWORKS = itertools.count(1)
CLONE_NEWNET = 0x40000000


def run(*command: str) -> str:
    """Run a command that must succeed; return what it says."""
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
    return done.stdout


class Network:
    """Use as a context manager: it is there inside, and gone after. ``addresses``: of the VPC, at least 1024."""

    def __init__(self, addresses: ipaddress.IPv4Network = VPC) -> None:
        self.range = addresses
        self.control_address, self.router_address = str(addresses[-2]), str(addresses[-3])
        self._name = f"dw{os.getpid()}n{next(NETWORKS)}"
        self._joined: list[str] = []
        self._ports = itertools.count(1)
        self._edges = iter([str(addresses[number]) for number in range(-256, -256 + EDGES_MAX)])

    @property
    def vpc(self) -> str:
        """The namespace of the bridge."""
        return f"{self._name}-vpc"

    @property
    def control(self) -> str:
        """The namespace of the control side."""
        return f"{self._name}-control"

    def __enter__(self) -> Self:
        run("ip", "netns", "add", self.vpc)
        for command in (
            f"link add br0 address {_hardware(self.router_address)} type bridge",
            f"addr add {self.router_address}/{self.range.prefixlen} dev br0",
            f"addr add {METADATA}/32 dev br0",
            "link set lo up",
            "link set br0 up",
        ):
            run("ip", "-n", self.vpc, *command.split())
        self.join(self.control, self.control_address)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for namespace in [*self._joined]:
            self.leave(namespace)
        run("ip", "netns", "del", self.vpc)

    def join(self, namespace: str, address: str) -> None:
        """Make a namespace with this address on the bridge. Raises ``ValueError`` for an address outside of the VPC."""
        if ipaddress.ip_address(address) not in self.range:
            raise ValueError(f"{address} is outside of {self.range}: name a subnet when an instance is launched")
        run("ip", "netns", "add", namespace)
        self._joined.append(namespace)
        port = f"v{next(self._ports)}"
        run("ip", "link", "add", port, "netns", self.vpc, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        run("ip", "-n", self.vpc, "link", "set", port, "master", "br0", "up")
        for command in (
            "link set lo up",
            f"link set eth0 address {_hardware(address)}",
            f"addr add {address}/{self.range.prefixlen} dev eth0",
            "link set eth0 up",
            f"route add {METADATA}/32 dev eth0",
        ):
            run("ip", "-n", namespace, *command.split())

    def leave(self, namespace: str) -> None:
        """Remove a namespace, as soon as the last of its processes is gone."""
        wait_until(
            lambda: subprocess.run(["ip", "netns", "del", namespace], capture_output=True).returncode == 0,
            f"nobody is in {namespace}",
        )
        self._joined.remove(namespace)

    def add_edge(self) -> str:
        """Let the bridge have one more address, and return it. None is given twice."""
        address = next(self._edges)
        run("ip", "-n", self.vpc, "addr", "add", f"{address}/32", "dev", "br0")
        return address

    def drop_edge(self, address: str) -> None:
        """Let nobody answer at an address any more."""
        run("ip", "-n", self.vpc, "addr", "del", f"{address}/32", "dev", "br0")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let this thread, and the processes and threads that it starts, be on the control side."""
        with self._in(self.control):
            self.check(self.router_address)
            yield

    @contextmanager
    def at_the_edge(self) -> Iterator[None]:
        """Let this thread, and the processes and threads that it starts, be where the edges are."""
        with self._in(self.vpc):
            self.check(self.control_address, "br0")
            yield

    @contextmanager
    def _in(self, namespace: str) -> Iterator[None]:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/proc/thread-self/ns/net").open() as home, Path(f"/run/netns/{namespace}").open() as there:
            _set(libc, there.fileno())
            try:
                assert "default" not in run("ip", "route"), "there is a way out"
                yield
            finally:
                _set(libc, home.fileno())

    def check(self, address: str, device: str = "eth0") -> None:
        """Raise unless ``address`` is one of ours, reached over our own bridge; to be called before a byte is sent."""
        way = run("ip", "route", "get", address)
        if ipaddress.ip_address(address) not in self.range or f" dev {device} " not in way:
            raise ValueError(f"{address} is not one of our own test hosts")


def inside(namespace: str, command: Sequence[str]) -> list[str]:
    """Return the command that runs ``command`` in a namespace."""
    return ["nsenter", f"--net=/run/netns/{namespace}", *command]


def _hardware(address: str) -> str:
    """Who has an address has this one of the hardware, too: nobody has to learn it anew, come who may."""
    return ":".join(f"{byte:02x}" for byte in b"\x02\x00" + ipaddress.IPv4Address(address).packed)


def _set(libc: ctypes.CDLL, descriptor: int) -> None:
    if libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
