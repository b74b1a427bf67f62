"""The built-in kind: SHA-512 of a buffer, then SHA-512 of the digest, again and again.

``iterations`` counts hashes in all: the one over the buffer is the first, so a chain starts as ``(sha512(buffer), 1)``.
The hash is FIPS 180-4 SHA-512.

A chain is advanced by one of several paths: the C kernel with what this CPU offers, or Python with ``hashlib``, slower
by an order of magnitude and always there. The kernel is optional, and a CPU, a compiler or an emulator can be wrong
about what it does: every path is held against ``hashlib`` when this module is loaded, before it may serve.
"""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Sequence
from typing import NamedTuple

try:
    from dynwork.kinds import _sha512chain as _kernel
except ImportError:  # built without a C compiler; docs/howto/build.md
    _kernel = None  # type: ignore[assignment]

STATE_BYTES = 64
CLOCK_STEPS = 2048
"""Steps of the Python path between two looks at the time: about 1.5 ms of hashing."""
TRIAL_STEPS_MAX = 40
"""Longest chain that a path is tried with; the trial must meet every width and every place that a chain can end at."""


class Path(NamedTuple):
    """A way to advance chains, and how many of them it moves at the same time."""

    name: str
    lanes: int


PYTHON = Path("python", 1)


class Sha512Starter:
    """Hashes the buffer as it streams in."""

    def __init__(self) -> None:
        self._hash = hashlib.sha512()

    def update(self, piece: bytes) -> None:
        """See :meth:`dynwork.kinds.Starter.update`."""
        self._hash.update(piece)

    def finish(self) -> tuple[bytes, int]:
        """See :meth:`dynwork.kinds.Starter.finish`."""
        return self._hash.digest(), 1


class Sha512Chain:
    """The kind, advanced by one path."""

    name = "sha512-chain"
    state_bytes_max = STATE_BYTES

    def __init__(self, path: Path = PYTHON) -> None:
        self.path = path
        self.lanes = path.lanes
        self.releases_gil = path != PYTHON

    def start(self) -> Sha512Starter:
        """See :meth:`dynwork.kinds.Kind.start`."""
        return Sha512Starter()

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> tuple[list[bytes], list[int]]:
        """See :meth:`dynwork.kinds.Kind.advance`."""
        if self.path == PYTHON:
            return _advance_in_python(states, remaining, max_steps, max_seconds)
        joined, left, _ = _kernel.advance(
            b"".join(states), list(remaining), max_steps, max_seconds, in_order=True, path=self.path.name
        )
        after = [joined[start : start + STATE_BYTES] for start in range(0, len(joined), STATE_BYTES)]
        return after, [before - now for before, now in zip(remaining, left, strict=True)]


def paths() -> tuple[Path, ...]:
    """Return the paths that this machine can take and that agree with ``hashlib``, best first; the last is Python."""
    return _USABLE


def _advance_in_python(
    states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
) -> tuple[list[bytes], list[int]]:
    """Advance one chain after the other: exact, portable, and what the kernel is compared with."""
    deadline = time.perf_counter() + max_seconds
    after = list(states)
    made = [0] * len(after)
    budget = max_steps
    for index, left in enumerate(remaining):
        while left > 0 and budget > 0:
            burst = min(left, budget, CLOCK_STEPS)
            after[index] = _hash_again(after[index], burst)
            made[index] += burst
            left -= burst
            budget -= burst
            if time.perf_counter() >= deadline:
                return after, made
    return after, made


def _hash_again(state: bytes, times: int) -> bytes:
    sha512 = hashlib.sha512
    for _ in range(times):
        state = sha512(state).digest()
    return state


def _agrees_with_hashlib(path: Path) -> bool:
    """Return whether the path computes what ``hashlib`` does.

    More chains than lanes, of many lengths: as they end, lanes are given on and every narrower width has its turn.
    """
    remaining = [TRIAL_STEPS_MAX * index // (2 * path.lanes) for index in range(2 * path.lanes + 1)]
    states = [hashlib.sha512(bytes([index])).digest() for index in range(len(remaining))]
    expected = [_hash_again(state, steps) for state, steps in zip(states, remaining, strict=True)]
    return Sha512Chain(path).advance(states, remaining, sum(remaining), 60.0) == (expected, remaining)


def _usable() -> tuple[Path, ...]:
    usable = []
    for path in [Path(name, lanes) for name, lanes in _kernel.paths()] if _kernel else []:
        if _agrees_with_hashlib(path):
            usable.append(path)
        else:
            warnings.warn(
                f"the path {path.name!r} of the kernel computes wrong hashes on this machine and is not used; "
                "please report the CPU, the compiler and `dynwork kernel`",
                RuntimeWarning,
                stacklevel=2,
            )
    return (*usable, PYTHON)


_USABLE = _usable()
KIND = Sha512Chain(_USABLE[0])
