"""The demo's work: which buffers, how often each is hashed, and what must come out.

Light to import: the processes that check the hashes load nothing else. Buffers are made from their numbers (SHAKE-256),
so that a checker needs no copy of what was sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

JOBS = 400
BYTES_MIN, BYTES_MAX = 16 * 1024, 256 * 1024
WORK_S = 14.0
"""How long all cores together should take for everything, seconds."""
GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, are spread evenly: a fair mix of sizes without drawing any."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One job of the demo."""

    number: int
    size: int
    iterations: int

    def buffer(self) -> bytes:
        """Return the bytes to send."""
        return hashlib.shake_256(b"dynwork demo %d" % self.number).digest(self.size)


def pieces(steps_per_s: float, cores: int) -> list[Piece]:
    """Return the jobs: sizes spread evenly over their logarithm; every tenth is done on arrival."""
    shares = [0 if number % 10 == 0 else 1 + 8 * (number * GOLDEN % 1) for number in range(JOBS)]
    steps_per_share = steps_per_s * cores * WORK_S / sum(shares)
    return [
        Piece(
            number,
            size=int(BYTES_MIN * (BYTES_MAX / BYTES_MIN) ** (number * GOLDEN**2 % 1)),
            iterations=1 + int(share * steps_per_share),
        )
        for number, share in enumerate(shares)
    ]


def right_hash(piece: Piece) -> str:
    """Return what must come out, by hashlib."""
    state = piece.buffer()
    sha512 = hashlib.sha512
    for _ in range(piece.iterations):
        state = sha512(state).digest()
    return state.hex()


def measure(monotonic: Callable[[], float], steps: int = 200_000) -> float:
    """Return how many steps one core makes in a second."""
    began = monotonic()
    right_hash(Piece(0, 64, steps))
    return steps / max(monotonic() - began, 1e-6)
