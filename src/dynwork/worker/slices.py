"""One slice of work: some chains of one kind, advanced for a bounded time.

This is the only place that calls a kind, in a lane process and in a lane thread alike. A kind is foreign code: what it
returns is checked here, so that nothing behind this line can be corrupted by it. Imports are few on purpose: a lane
process starts with this module.
"""

from __future__ import annotations

import time
from operator import le
from typing import NamedTuple, NoReturn

from dynwork.kinds import Kind

DETAIL_CHARS_MAX = 1000
"""Longest detail of an error that is kept, in characters."""


class Batch(NamedTuple):
    """Chains of one kind, most urgent first; ``remaining[i]`` steps are left of the chain in ``states[i]``."""

    kind: str
    states: list[bytes]
    remaining: list[int]


class Slice(NamedTuple):
    """What became of a batch: the new states, the steps that each chain made, and how long it took (seconds)."""

    states: list[bytes]
    steps: list[int]
    seconds: float


class WorkError(Exception):
    """The work itself failed: the kind raised, broke its contract, or its lane process died. ``code`` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail[:DETAIL_CHARS_MAX].encode(errors="replace").decode()  # foreign text: it must fit into JSON


def advance(kind: Kind, batch: Batch, max_seconds: float) -> Slice:
    """Advance ``batch`` for about ``max_seconds``. Raises ``WorkError`` with the code ``kind_error``.

    Whatever a kind raises is that: an exit or a cancellation from a lane thread would end the whole worker. It works on
    lists of its own: what it returns is held against what it was asked for, not against what it made of that.
    """
    states, steps = list(batch.states), list(batch.remaining)
    began = time.perf_counter()
    try:
        states, steps = kind.advance(states, steps, sum(steps), max_seconds)
        seconds = time.perf_counter() - began
        _check(kind, batch, states, steps)
    except BaseException as error:
        raise WorkError("kind_error", f"{type(error).__name__}: {_text_of(error)}") from error
    return Slice(states, steps, seconds)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as another:  # noqa: BLE001 - an error is foreign code, too
        return f"its text cannot be had ({type(another).__name__})"


def _check(kind: Kind, batch: Batch, states: list[bytes], steps: list[int]) -> None:
    """Raise what is wrong. First all at once, at the speed of the interpreter's own loops; if wrong, one by one."""
    if (
        len(states) == len(steps) == len(batch.states)
        and set(map(type, states)) == {bytes}
        and set(map(type, steps)) == {int}
        and min(map(len, states)) >= 1
        and max(map(len, states)) <= kind.state_bytes_max
        and min(steps) >= 0
        and all(map(le, steps, batch.remaining))
        and any(steps)
    ):
        return
    _complain(kind, batch, states, steps)


def _complain(kind: Kind, batch: Batch, states: list[bytes], steps: list[int]) -> NoReturn:
    if not len(states) == len(steps) == len(batch.states):
        raise ValueError(f"{kind.name} returned {len(states)} states and {len(steps)} steps for {len(batch.states)}")
    for state, made, remaining in zip(states, steps, batch.remaining, strict=True):
        if type(state) is not bytes:
            raise TypeError(f"{kind.name} returned a state of the type {type(state).__name__}, not bytes")
        if type(made) is not int:
            raise TypeError(f"{kind.name} returned steps of the type {type(made).__name__}, not int")
        if not 1 <= len(state) <= kind.state_bytes_max:
            raise ValueError(f"{kind.name} returned a state of {len(state)} bytes, not 1 to {kind.state_bytes_max}")
        if not 0 <= made <= remaining:
            raise ValueError(f"{kind.name} made {made} steps where {remaining} remained")
    raise ValueError(f"{kind.name} made no step, and would never end")
