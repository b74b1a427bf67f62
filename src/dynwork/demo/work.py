"""The demo's work: which buffers, how often each is hashed, and what must come out.

Every hash is checked by hashlib, which takes a dozen times as long as the kernel that made it. So jobs share buffers
and differ in how often theirs is hashed: what must come out of all of them is met on the way to the farthest.
Light to import: the processes that check the hashes load nothing else. Buffers are made from their numbers (SHAKE-256),
so that a checker needs no copy of what was sent.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

JOBS, BUFFERS = 400, 16
BYTES_MIN, BYTES_MAX = 16 * 1024, 256 * 1024
WORK_S = 14.0
"""How long all cores together should take for everything, seconds."""
GOLDEN = 0.6180339887498949
"""Multiples of it, modulo 1, are spread evenly: a fair mix of sizes without drawing any."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One job of the demo."""

    number: int
    buffer_number: int
    size: int
    iterations: int

    def buffer(self) -> bytes:
        """Return the bytes to send."""
        return hashlib.shake_256(b"dynwork demo %d" % self.buffer_number).digest(self.size)


def pieces(steps_per_s: float, cores: int) -> list[Piece]:
    """Return the jobs: sizes spread evenly over their logarithm; every tenth is done on arrival.

    ``steps_per_s``: what one core makes with its lanes full.
    """
    shares = [0 if number % 10 == 0 else 1 + 8 * (number * GOLDEN % 1) for number in range(JOBS)]
    steps_per_share = steps_per_s * cores * WORK_S / sum(shares)
    return [
        Piece(
            number,
            number % BUFFERS,
            size=int(BYTES_MIN * (BYTES_MAX / BYTES_MIN) ** (number % BUFFERS * GOLDEN**2 % 1)),
            iterations=1 + int(share * steps_per_share),
        )
        for number, share in enumerate(shares)
    ]


def by_buffer(work: Iterable[Piece]) -> list[list[Piece]]:
    """Return the pieces that share a buffer together, those with the fewest iterations first."""
    groups: defaultdict[int, list[Piece]] = defaultdict(list)
    for piece in sorted(work, key=lambda piece: piece.iterations):
        groups[piece.buffer_number].append(piece)
    return list(groups.values())


def right_hashes(group: Sequence[Piece]) -> list[str]:
    """Return what must come out of each, by hashlib; ``group`` as :func:`by_buffer` returns it."""
    state, done = group[0].buffer(), 0
    sha512 = hashlib.sha512
    right = []
    for piece in group:
        for _ in range(piece.iterations - done):
            state = sha512(state).digest()
        done = piece.iterations
        right.append(state.hex())
    return right
