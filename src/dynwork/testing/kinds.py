"""Kinds of work for tests, and :func:`install`, which makes them entry points of processes that a test starts.

``append-steps`` is the hash chain with a witness: every burst of steps is written before anyone learns of it, so that
steps computed twice can be counted after any kill. ``killer`` kills the process it runs in, ``raiser`` raises,
``stuck`` does not come back. Nothing finds them unless :func:`install` was called.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dynwork.kinds.sha512_chain import Sha512Starter

STEPS_FILE = "DYNWORK_TEST_STEPS_FILE"
"""Environment variable: where ``append-steps`` writes."""
STEPS_PER_S = "DYNWORK_TEST_STEPS_PER_S"
"""Environment variable: how many steps ``append-steps`` makes in a second; unset: as many as it can."""

_BURSTS_PER_S = 100
_BURST_STEPS_MAX = 1000
_DONE_BYTES = 8
_DIGEST_BYTES = 64


def _variable(name: str) -> str | None:
    return os.environ.get(name)  # a kind in a lane process has nobody to be given settings by


class Steps(NamedTuple):
    """One line of the witness: the chain that began with ``start`` made the steps from ``first`` up to ``last``."""

    start: str
    first: int
    last: int


class AppendStepsStarter(Sha512Starter):
    """Starts the chain: its state is the first digest, the steps done, and the present digest."""

    def finish(self) -> tuple[bytes, int]:
        """See :meth:`dynwork.kinds.Starter.finish`."""
        digest, done = super().finish()
        return digest + done.to_bytes(_DONE_BYTES, "big") + digest, done


class AppendSteps:
    """The hash chain, at a fixed speed, every burst written down before it is returned."""

    name = "append-steps"
    releases_gil = False
    state_bytes_max = 2 * _DIGEST_BYTES + _DONE_BYTES
    lanes = 1

    def start(self) -> AppendStepsStarter:
        """See :meth:`dynwork.kinds.Kind.start`."""
        return AppendStepsStarter()

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> tuple[list[bytes], list[int]]:
        """See :meth:`dynwork.kinds.Kind.advance`."""
        per_s = float(_variable(STEPS_PER_S) or 0)
        burst_max = max(int(per_s / _BURSTS_PER_S), 1) if per_s else _BURST_STEPS_MAX
        deadline = time.perf_counter() + max_seconds
        after, made = list(states), [0] * len(states)
        for index, left in enumerate(remaining):
            while made[index] < left and sum(made) < max_steps:
                burst = min(burst_max, left - made[index], max_steps - sum(made))
                after[index] = self._burst(after[index], burst)
                made[index] += burst
                if per_s:
                    threading.Event().wait(burst / per_s)
                if time.perf_counter() >= deadline:
                    return after, made
        return after, made

    @staticmethod
    def _burst(state: bytes, steps: int) -> bytes:
        start, digest = state[:_DIGEST_BYTES], state[-_DIGEST_BYTES:]
        done = int.from_bytes(state[_DIGEST_BYTES:-_DIGEST_BYTES], "big")
        for _ in range(steps):
            digest = hashlib.sha512(digest).digest()
        path = _variable(STEPS_FILE)
        if path:
            witness = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.write(witness, f"{start.hex()} {done} {done + steps}\n".encode())
            os.close(witness)
        return start + (done + steps).to_bytes(_DONE_BYTES, "big") + digest


class Killer:
    """Kills the process it runs in, at every attempt to advance."""

    name = "killer"
    releases_gil = False
    state_bytes_max = 64
    lanes = 1

    def start(self) -> Sha512Starter:
        """See :meth:`dynwork.kinds.Kind.start`."""
        return Sha512Starter()

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> tuple[list[bytes], list[int]]:
        """Never returns."""
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("still alive after SIGKILL")


class Raiser(Killer):
    """Raises, at every attempt to advance."""

    name = "raiser"

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> tuple[list[bytes], list[int]]:
        """Never returns."""
        raise RuntimeError("this kind always raises")


class Stuck(Killer):
    """Does not come back from advancing."""

    name = "stuck"

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> tuple[list[bytes], list[int]]:
        """Never returns."""
        while True:
            signal.pause()


APPEND_STEPS, KILLER, RAISER, STUCK = AppendSteps(), Killer(), Raiser(), Stuck()

_ENTRY_POINTS = "\n".join(
    [
        "[dynwork.kinds]",
        *(
            f"{kind.name} = {__name__}:{name}"
            for name, kind in (
                ("APPEND_STEPS", APPEND_STEPS),
                ("KILLER", KILLER),
                ("RAISER", RAISER),
                ("STUCK", STUCK),
            )
        ),
    ]
)


def install(into: Path) -> dict[str, str]:
    """Make the metadata of a distribution with these kinds in ``into``; return the variables that processes need."""
    info = into / "dynwork_test_kinds-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dynwork-test-kinds\nVersion: 1\n")
    (info / "entry_points.txt").write_text(_ENTRY_POINTS + "\n")
    paths = [str(into), *filter(None, [_variable("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths)}


def straight(state: bytes, steps: int) -> bytes:
    """Return the state after ``steps`` steps of ``sha512-chain``, straight from hashlib."""
    for _ in range(steps):
        state = hashlib.sha512(state).digest()
    return state


def expected(kind: str, body: bytes, iterations: int) -> str:
    """Return the right hash, in hex, of a job of ``sha512-chain`` or ``append-steps``, straight from hashlib."""
    digest = straight(body, iterations)
    if kind == APPEND_STEPS.name:
        digest = straight(body, 1) + iterations.to_bytes(_DONE_BYTES, "big") + digest
    return digest.hex()


def witnessed(file: Path) -> list[Steps]:
    """Read what ``append-steps`` wrote; a last line that a kill cut short counts as not written."""
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    fields = (line.split() for line in lines if line.endswith("\n"))
    return [Steps(start, int(first), int(last)) for start, first, last in fields]


def computed_twice(steps: Iterable[Steps]) -> Mapping[str, int]:
    """Return how many steps of each chain were made more than once (each further time counts), by its start."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for one in steps:
        spans.setdefault(one.start, []).append((one.first, one.last))
    return {start: _overlap(chain) for start, chain in spans.items()}


def _overlap(spans: list[tuple[int, int]]) -> int:
    made = sum(last - first for first, last in spans)
    distinct, reached = 0, 0
    for first, last in sorted(spans):
        distinct += max(last - max(first, reached), 0)
        reached = max(reached, last)
    return made - distinct
