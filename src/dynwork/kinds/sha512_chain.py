"""The built-in kind: SHA-512 of a buffer, then SHA-512 of the digest, again and again.

``iterations`` counts hashes in all: the one over the buffer is the first, so a chain starts as ``(sha512(buffer), 1)``.
The hash is FIPS 180-4 SHA-512, from ``hashlib``.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence

CLOCK_STEPS = 2048
"""Steps between two looks at the time: about 1.5 ms of hashing."""


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
    """The Python twin of the kernel: exact, portable, one chain at a time."""

    name = "sha512-chain"
    releases_gil = False
    state_bytes_max = 64
    lanes = 1

    def start(self) -> Sha512Starter:
        """See :meth:`dynwork.kinds.Kind.start`."""
        return Sha512Starter()

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> tuple[list[bytes], list[int]]:
        """See :meth:`dynwork.kinds.Kind.advance`."""
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


KIND = Sha512Chain()
