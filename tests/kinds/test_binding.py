"""What passes between Python and the kernel: bad input is refused with a clear error, nothing is changed or kept."""

from __future__ import annotations

import contextlib
import math
import tracemalloc
from typing import Any

import pytest

kernel = pytest.importorskip("dynwork.kinds._sha512chain", reason="the kernel was not built: docs/howto/build.md")

STATE = bytes(range(64))
BAD_INPUT: list[tuple[Any, type[Exception], str]] = [
    ((bytes(63), [1], 1, 1.0), ValueError, "1 chains need 64 bytes of state each, not 63 in all"),
    ((bytes(64), [1, 1], 1, 1.0), ValueError, "2 chains need 64 bytes"),
    ((bytes(64), [], 1, 1.0), ValueError, "0 chains need 64 bytes"),
    ((bytes(64), [-1], 1, 1.0), ValueError, "what remains of a chain must be from 0 to"),
    ((bytes(64), [2**64], 1, 1.0), ValueError, "what remains of a chain must be from 0 to"),
    ((bytes(64), ["1"], 1, 1.0), TypeError, "int"),
    ((bytes(64), (1,), 1, 1.0), TypeError, "list"),
    ((bytes(64), [1], -1, 1.0), ValueError, "max_steps must be from 0 to"),
    ((bytes(64), [1], 2**64, 1.0), ValueError, "max_steps must be from 0 to"),
    ((bytes(64), [1], 1, math.nan), ValueError, "max_seconds is not a number"),
    (("x" * 64, [1], 1, 1.0), TypeError, "bytes"),
]


@pytest.mark.parametrize(("arguments", "error", "says"), BAD_INPUT)
def test_bad_input_gets_a_clear_error(arguments: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        kernel.advance(*arguments)


def test_a_path_that_does_not_run_here_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no path named 'abacus' runs on this CPU"):
        kernel.advance(bytes(64), [1], 1, 1.0, path="abacus")


def test_what_it_is_given_stays_as_it_is() -> None:
    states, remaining = bytearray(STATE), [3]
    kernel.advance(states, remaining, 3, math.inf)
    assert (bytes(states), remaining) == (STATE, [3])


def test_its_buffer_can_be_changed_again_after_good_and_bad_calls() -> None:
    for remaining in ([1], [-1], [1, 1]):
        states = bytearray(64)
        with contextlib.suppress(ValueError):
            kernel.advance(states, remaining, 1, 1.0)
        states.append(0)


def test_good_and_bad_calls_leave_nothing_in_memory() -> None:
    def some_calls() -> None:
        for arguments in [(bytes(640), [1] * 10, 10, 1.0), *(bad[0] for bad in BAD_INPUT)]:
            with contextlib.suppress(ValueError, TypeError):
                kernel.advance(*arguments)
        kernel.paths()

    some_calls()
    tracemalloc.start()
    try:
        some_calls()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(200):
            some_calls()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 200 * 8
