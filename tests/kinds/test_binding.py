"""What passes between Python and the kernel: bad input is refused with a clear error, nothing is changed or kept."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
import sysconfig
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from tests.needs import program

kernel = pytest.importorskip("dynwork.kinds._sha512chain", reason="the kernel was not built: docs/howto/build.md")

HERE = Path(__file__).parent
NATIVE = HERE.parents[1] / "src" / "dynwork" / "kinds" / "native"
STATE = bytes(range(64))
BAD_INPUT: list[tuple[Any, type[Exception], str]] = [
    ((bytes(63), [1], 1, 1.0), ValueError, "1 chains need 64 bytes of state each, not 63 in all"),
    ((bytes(64), [1, 1], 1, 1.0), ValueError, "2 chains need 64 bytes"),
    ((bytes(65), [1], 1, 1.0), ValueError, "1 chains need 64 bytes of state each, not 65 in all"),
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


ELSEWHERE = """
import _sha512chain as kernel
assert kernel.paths() == [("counting", 1)], kernel.paths()
for steps in (7, 2**32 + 7):
    expected = (bytes(56) + steps.to_bytes(8, "big"), [0], steps)
    assert kernel.advance(bytes(64), [steps], steps, 60.0, path=None) == expected, steps
for name in ("newer", "older"):
    try:
        kernel.advance(bytes(64), [7], 7, 60.0, path=name)
    except ValueError as error:
        assert str(error) == f"no path named '{name}' runs on this CPU", error
    else:
        raise AssertionError(name)
"""


def test_where_a_path_does_not_run_it_is_not_offered_not_chosen_and_refused(tmp_path: Path) -> None:
    """A process that took it all the same would be ended by its first illegal instruction."""
    compiler = program(os.environ.get("CC", "cc"), "gcc")
    sources = [HERE / "paths_elsewhere.c", *(NATIVE / name for name in ("module.c", "advance.c", "folded.c"))]
    include = [f"-I{NATIVE}", f"-I{sysconfig.get_path('include')}"]
    built = tmp_path / "_sha512chain.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", *include, *sources, "-o", built], check=True)
    run = subprocess.run([sys.executable, "-c", ELSEWHERE], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
