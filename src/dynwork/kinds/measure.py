"""How fast a kind is on one core of this machine, beside the plain Python loop over hashlib.

Clocks swing, and machines are shared: what is compared is measured in turns, slice by slice, within the same second,
and the medians count.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from dynwork.kinds import Kind

ROUNDS = 10
"""Turns that each of the three gets."""
BURST_STEPS = 2048
"""Steps of the Python loop between two looks at the time: about 1.5 ms."""
ENDLESS = 10**12
"""More steps than are made in any slice."""


@dataclass(frozen=True, slots=True)
class Speeds:
    """Steps per second: of one chain alone, of a chain in each lane, of the Python loop; and how many times its speed.

    The factors are medians of what each round showed, so they need not be the quotients of the speeds.
    """

    chain_speed: float
    lanes_speed: float
    loop_speed: float
    chain_times_loop: float
    lanes_times_loop: float


def measure(kind: Kind, seconds: float, clock: Callable[[], float] = time.perf_counter) -> Speeds:
    """Measure for about ``seconds`` on this thread's core; ``clock`` tells seconds."""
    slice_s = seconds / ROUNDS / 3
    chain, lanes, loop = [], [], []
    for _ in range(ROUNDS):
        chain.append(_speed(kind, 1, slice_s, clock))
        lanes.append(_speed(kind, kind.lanes, slice_s, clock))
        loop.append(loop_speed(slice_s, clock))
    return Speeds(median(chain), median(lanes), median(loop), _times(chain, loop), _times(lanes, loop))


def _speed(kind: Kind, chains: int, slice_s: float, clock: Callable[[], float]) -> float:
    starter = kind.start()
    starter.update(b"dynwork")
    state, _ = starter.finish()
    began = clock()
    _, made = kind.advance([state] * chains, [ENDLESS] * chains, ENDLESS * chains, slice_s)
    return sum(made) / (clock() - began)


def loop_speed(slice_s: float, clock: Callable[[], float]) -> float:
    """Return the steps per second of the best loop that Python has: the constructor bound locally, nothing else."""
    sha512, state, steps, began = hashlib.sha512, bytes(64), 0, clock()
    while True:
        for _ in range(BURST_STEPS):
            state = sha512(state).digest()
        steps += BURST_STEPS
        if (elapsed := clock() - began) >= slice_s:
            return steps / elapsed


def _times(speeds: Sequence[float], loop: Sequence[float]) -> float:
    return median(speed / beside for speed, beside in zip(speeds, loop, strict=True))
