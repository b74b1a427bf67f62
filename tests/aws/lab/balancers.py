"""Load balancers: one address and one name each, at which connections go to targets that are healthy.

What there is, the cloud says; how the targets fare, it is told, and shows it to whoever asks. A target is healthy after
its first good check, unhealthy and healthy again after as many as its group sets; one that is unhealthy, or has
drained, is cut off. Connections are passed on whole, HTTP too: a caller stays with its target until it hangs up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from tests.aws.lab.names import Names
from tests.aws.lab.network import Network
from tests.aws.lab.watcher import Watcher

LOOK_S, CONNECT_S_MAX = 0.2, 3.0
CHUNK_BYTES, CONNECTIONS_MAX = 65536, 512
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(slots=True)
class Target:
    """One instance behind a target group."""

    address: tuple[str, int]
    state: str = "initial"
    in_a_row: int = 0
    """How many checks in a row came out against ``state``."""
    checks: asyncio.Task[None] | None = None
    links: set[asyncio.StreamWriter] = field(default_factory=set)

    def note(self, good: bool, group: dict[str, Any]) -> None:
        """Know how a check came out."""
        if good == (self.state == "healthy"):
            self.in_a_row = 0
            return
        self.in_a_row += 1
        needed = 1 if good and self.state == "initial" else group["healthy" if good else "unhealthy"]
        if self.in_a_row >= needed:
            self.state, self.in_a_row = "healthy" if good else "unhealthy", 0
            if not good:
                self.cut()

    def cut(self) -> None:
        """End every connection to it."""
        for writer in list(self.links):
            writer.transport.abort()


NOBODY = Target(("", 0), "")


@dataclass(slots=True)
class Balancer:
    """One load balancer. ``servers``: by port."""

    name: str
    address: str
    servers: dict[int, asyncio.Server] = field(default_factory=dict)


class Balancers(Watcher):
    """Those that the cloud has."""

    def __init__(self, network: Network, cloud_url: str, names: Names) -> None:
        super().__init__("balancers")
        self._network = network
        self._url = cloud_url
        self._names = names
        self._balancers: dict[str, Balancer] = {}
        self._groups: dict[str, dict[str, Any]] = {}
        self._targets: dict[str, dict[str, Target]] = {}
        self._turns = 0
        self._connections = 0

    def watch(self) -> None:
        """See :meth:`Watcher.watch`."""
        with self._network.at_the_edge():
            asyncio.run(self._watch())

    async def _watch(self) -> None:
        async with (
            httpx.AsyncClient(base_url=self._url, trust_env=False, timeout=10) as http,
            asyncio.TaskGroup() as tasks,
        ):
            while not self.stop.is_set():
                shown = (await http.get("/_balancers")).raise_for_status().json()
                await self._follow(shown, tasks)
                health = {
                    arn: {name: target.state for name, target in targets.items()}
                    for arn, targets in self._targets.items()
                }
                (await http.post("/_balancers", json=health)).raise_for_status()
                await asyncio.sleep(LOOK_S)
            await self._follow([], tasks)

    async def _follow(self, shown: list[dict[str, Any]], tasks: asyncio.TaskGroup) -> None:
        """Be what the cloud shows."""
        wanted = {balancer["arn"]: balancer for balancer in shown}
        self._groups = {one["group"]["arn"]: one["group"] for balancer in shown for one in balancer["listeners"]}
        for arn in self._balancers.keys() - wanted.keys():
            self._close(self._balancers.pop(arn))
        for arn, balancer in wanted.items():
            if arn not in self._balancers:
                self._balancers[arn] = Balancer(balancer["name"], self._network.add_edge())
                self._names.add(balancer["name"], self._balancers[arn].address)
            await self._listen(self._balancers[arn], {one["port"]: one for one in balancer["listeners"]})
        for arn in self._targets.keys() | self._groups.keys():
            self._follow_targets(arn, tasks)

    def _close(self, balancer: Balancer) -> None:
        for server in balancer.servers.values():
            server.close()
        self._names.drop(balancer.name)
        self._network.drop_edge(balancer.address)

    async def _listen(self, balancer: Balancer, listeners: dict[int, dict[str, Any]]) -> None:
        for port in balancer.servers.keys() - listeners.keys():
            balancer.servers.pop(port).close()
        for port in listeners.keys() - balancer.servers.keys():
            arn, plain = listeners[port]["group"]["arn"], listeners[port]["protocol"] == "HTTP"

            async def connected(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, arn: str = arn, plain: bool = plain
            ) -> None:
                await self._connected(arn, plain, reader, writer)

            balancer.servers[port] = await asyncio.start_server(connected, balancer.address, port)

    def _follow_targets(self, arn: str, tasks: asyncio.TaskGroup) -> None:
        group = self._groups.get(arn, {"targets": {}, "draining": []})
        targets = self._targets.setdefault(arn, {})
        for name in targets.keys() - group["targets"].keys():
            checks = targets[name].checks
            if checks is not None:
                checks.cancel()
            if name not in group["draining"]:
                targets.pop(name).cut()
            else:
                targets[name].state = "draining"
        for name in [name for name in group["targets"] if targets.get(name, NOBODY).state in ("", "draining")]:
            targets[name] = target = Target(tuple(group["targets"][name]))
            target.checks = tasks.create_task(self._check(arn, target))

    async def _check(self, arn: str, target: Target) -> None:
        while (group := self._groups.get(arn)) is not None:
            good = False
            with contextlib.suppress(OSError, EOFError, TimeoutError, ValueError):
                async with asyncio.timeout(group["timeout_s"]):
                    good = await _answers(target.address, group["path"])
            target.note(good, group)
            await asyncio.sleep(max(group["interval_s"], LOOK_S))

    def _healthy(self, arn: str) -> Iterator[Target]:
        """Those that may be called, another first each time."""
        every = [target for target in self._targets.get(arn, {}).values() if target.state == "healthy"]
        self._turns += 1
        for number in range(len(every)):
            yield every[(self._turns + number) % len(every)]

    async def _connected(
        self, arn: str, plain: bool, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._connections += 1
        try:
            for target in self._healthy(arn) if self._connections <= CONNECTIONS_MAX else ():
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(CONNECT_S_MAX):
                        answers, upstream = await asyncio.open_connection(*target.address)
                    return await _pass_on(target, (reader, writer), (answers, upstream))
            if plain:
                with contextlib.suppress(OSError, EOFError, ValueError, TimeoutError):
                    async with asyncio.timeout(CONNECT_S_MAX):
                        await reader.readuntil(b"\r\n\r\n")
                        writer.write(UNAVAILABLE)
                        await _ended(writer)
        finally:
            self._connections -= 1
            writer.transport.abort()


async def _pass_on(
    target: Target,
    caller: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    callee: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    """Return when the target has hung up; that the caller has nothing more to say is no end of the answer."""
    target.links |= {caller[1], callee[1]}
    try:
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(_pump(caller[0], callee[1]))
            await _pump(callee[0], caller[1])
            await _ended(caller[1])
            asking.cancel()
    finally:
        target.links -= {caller[1], callee[1]}
        callee[1].transport.abort()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(CHUNK_BYTES):
            sink.write(data)
            await sink.drain()
        sink.write_eof()


async def _ended(writer: asyncio.StreamWriter) -> None:
    """Close a connection when all that was written has gone."""
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(CONNECT_S_MAX):
            await writer.wait_closed()


async def _answers(address: tuple[str, int], path: str) -> bool:
    """Say whether ``GET path`` is answered with 200."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {address[0]}\r\nConnection: close\r\n\r\n".encode())
        return (await reader.readline()).split(b" ")[1:2] == [b"200"]
    finally:
        writer.transport.abort()
