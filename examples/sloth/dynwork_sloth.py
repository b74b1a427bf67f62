"""``sloth``, a kind of work for dynwork: a number that takes an hour to compute and a moment to check.

What it is good for: a draw that nobody can rig. Publish a buffer that many had a part in (the tickets sold, the day's
prices) and a number of steps that takes an hour. Whoever could still change the buffer cannot wait for the outcome;
once it is there, everybody can check it, 500 times faster than it was computed, without trusting who did it.

The chain is that of A. K. Lenstra and B. Wesolowski, "A random zoo: sloth, unicorn, and trx" (2015): square roots
modulo a prime, one after the other. A root takes some 500 multiplications, each of which needs the one before, so that
no number of machines makes a chain faster; back it goes with one. A state is the number itself; a step is one root.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence

PRIME = 2**521 - 1
"""Longer than SHA-512, and 3 modulo 4: then a root of x, if there is one, is x to the power of (PRIME + 1) / 4."""
STATE_BYTES = 66


class SlothStarter:
    """Hashes the buffer as it streams in: the chain starts at 1 + SHA-512 of it, with no step done."""

    def __init__(self) -> None:
        self._hash = hashlib.sha512()

    def update(self, piece: bytes) -> None:
        """Take the next piece of the buffer."""
        self._hash.update(piece)

    def finish(self) -> tuple[bytes, int]:
        """Return ``(state, done)``."""
        return _state_of(1 + int.from_bytes(self._hash.digest(), "big")), 0


class Sloth:
    """The kind. See :class:`dynwork.kinds.Kind` for what each of these means."""

    name = "sloth"
    releases_gil = False
    state_bytes_max = STATE_BYTES
    lanes = 1

    def start(self) -> SlothStarter:
        """Begin a chain."""
        return SlothStarter()

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> tuple[list[bytes], list[int]]:
        """Advance the chains one by one, with a look at the time after each step: it takes most of a millisecond."""
        deadline = time.perf_counter() + max_seconds
        after, made, budget = list(states), [0] * len(states), max_steps
        for index, wanted in enumerate(remaining):
            number = int.from_bytes(after[index], "big")
            while made[index] < wanted and budget > 0:
                number = step(number)
                made[index] += 1
                budget = budget - 1 if time.perf_counter() < deadline else 0
            after[index] = _state_of(number)
        return after, made


def step(number: int) -> int:
    """Return the next number of the chain; both from 1 to PRIME - 1.

    Of the neighbour and its negative exactly one is a square. Of its two roots, which add up to PRIME, one is even:
    that is taken if the neighbour itself was the square, else the odd one. So no two numbers have the same successor.
    """
    square = _neighbour(number)
    root = pow(square, (PRIME + 1) // 4, PRIME)
    even_wanted = root * root % PRIME == square
    return root if (root % 2 == 0) == even_wanted else PRIME - root


def step_back(number: int) -> int:
    """Undo :func:`step`: one multiplication instead of some 500."""
    square = number * number % PRIME
    return _neighbour(square if number % 2 == 0 else PRIME - square)


def is_right(buffer: bytes, steps: int, state: bytes) -> bool:
    """Say whether ``state`` is what ``steps`` steps make of ``buffer``, without making them: it is walked back."""
    number = int.from_bytes(state, "big")
    if len(state) != STATE_BYTES or not 1 <= number < PRIME:
        return False
    for _ in range(steps):
        number = step_back(number)
    starter = SlothStarter()
    starter.update(buffer)
    return _state_of(number) == starter.finish()[0]


def _neighbour(number: int) -> int:
    """Pair 1 with 2, 3 with 4, and so on: without this, roots of roots could be taken all at once."""
    return number + 1 if number % 2 else number - 1


def _state_of(number: int) -> bytes:
    return number.to_bytes(STATE_BYTES, "big")


KIND = Sloth()
