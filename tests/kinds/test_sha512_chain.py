"""Every path of the built-in kind computes what ``hashlib`` does, given anything and however the calls are cut."""

from __future__ import annotations

import hashlib
import math
import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject, SearchStrategy

from dynwork.kinds import sha512_chain
from dynwork.kinds.sha512_chain import PYTHON, Path, Sha512Chain, paths

kernel = pytest.importorskip("dynwork.kinds._sha512chain", reason="the kernel was not built: docs/howto/build.md")

NATIVE = [path for path in paths() if path != PYTHON]
CLOCK_STEPS = 4096
"""What the kernel makes at most between two looks at the clock: advance.c."""

each_path = pytest.mark.parametrize("path", NATIVE, ids=lambda path: path.name)
states_of_chains = st.binary(min_size=64, max_size=64) | st.sampled_from([bytes(64), b"\xff" * 64])
counts: SearchStrategy[int] = st.sampled_from([0, 1, 2, 3]) | st.integers(0, 70)


def hashed(state: bytes, steps: int) -> bytes:
    for _ in range(steps):
        state = hashlib.sha512(state).digest()
    return state


def split(states: bytes) -> list[bytes]:
    return [states[start : start + 64] for start in range(0, len(states), 64)]


def several(count: int) -> list[bytes]:
    return [hashlib.sha512(index.to_bytes(2, "big")).digest() for index in range(count)]


# -- exact
@each_path
@given(data=st.data(), in_order=st.booleans())
def test_states_counts_and_budgets_of_any_kind_give_what_hashlib_gives(
    path: Path, data: DataObject, in_order: bool
) -> None:
    remaining = data.draw(st.lists(counts, max_size=2 * path.lanes + 3), "remaining")
    states = data.draw(st.lists(states_of_chains, min_size=len(remaining), max_size=len(remaining)), "states")
    budget = data.draw(st.integers(0, sum(remaining) + 5), "max_steps")
    after, left, done = kernel.advance(b"".join(states), remaining, budget, math.inf, in_order=in_order, path=path.name)
    made = [before - now for before, now in zip(remaining, left, strict=True)]
    assert done == sum(made) == min(budget, sum(remaining))
    assert all(0 <= now <= before for before, now in zip(remaining, left, strict=True))
    assert split(after) == [hashed(state, steps) for state, steps in zip(states, made, strict=True)]


@each_path
@given(data=st.data())
def test_resumed_anywhere_on_any_path_a_chain_ends_the_same(path: Path, data: DataObject) -> None:
    """Chains are cut and go on with others, on other paths: a checkpoint knows nothing of who made it."""
    remaining = data.draw(st.lists(counts, min_size=1, max_size=path.lanes + 2), "remaining")
    states = several(len(remaining))
    now, left = b"".join(states), remaining
    while sum(left):
        budget = data.draw(st.integers(1, sum(left)), "max_steps")
        name = data.draw(st.sampled_from([path, *NATIVE]), "path").name
        now, left, _ = kernel.advance(now, left, budget, math.inf, path=name)
    assert split(now) == [hashed(state, steps) for state, steps in zip(states, remaining, strict=True)]


@each_path
def test_every_number_of_chains_up_to_more_than_the_lanes_is_exact(path: Path) -> None:
    """So that every width is met with every number of lanes that stay empty, over several bursts."""
    for count in range(1, 2 * path.lanes + 2):
        states, steps = several(count), 3000
        after, left, done = kernel.advance(b"".join(states), [steps] * count, count * steps, math.inf, path=path.name)
        assert (left, done) == ([0] * count, count * steps)
        assert split(after) == Sha512Chain(PYTHON).advance(states, [steps] * count, count * steps, math.inf)[0]


def test_the_whole_chain_is_hashlib_s_from_the_buffer_on() -> None:
    for path in paths():
        kind = Sha512Chain(path)
        starter = kind.start()
        starter.update(b"to be ")
        starter.update(b"hashed")
        state, done = starter.finish()
        [end], [made] = kind.advance([state], [99], 99, math.inf)
        assert (done, made) == (1, 99)
        assert end == hashed(hashlib.sha512(b"to be hashed").digest(), 99)


# -- who goes first
@each_path
def test_longest_first_no_short_chain_is_touched_while_longer_ones_fill_the_lanes(path: Path) -> None:
    remaining = [5, *[10_000] * path.lanes, 7]
    _, left, _ = kernel.advance(
        b"".join(several(len(remaining))), remaining, path.lanes * 900, math.inf, path=path.name
    )
    assert (left[0], sum(left[1:-1]), left[-1]) == (5, path.lanes * 9_100, 7)


@each_path
def test_longest_first_chains_beyond_the_lanes_come_closer_to_their_end_together(path: Path) -> None:
    """Else the last of them would run alone, on one lane."""
    count, steps = path.lanes + 1, 100_000
    _, left, _ = kernel.advance(bytes(64 * count), [steps] * count, count * steps // 2, math.inf, path=path.name)
    assert max(left) < steps, "one has not begun when the others are half way"


@each_path
def test_in_order_no_chain_is_begun_while_the_first_in_the_list_fill_the_lanes(path: Path) -> None:
    remaining = [10] * path.lanes + [100_000] * path.lanes
    states = b"".join(several(len(remaining)))
    _, left, _ = kernel.advance(states, remaining, 4 * path.lanes, math.inf, in_order=True, path=path.name)
    assert sum(left[: path.lanes]) == 6 * path.lanes
    assert left[path.lanes :] == [100_000] * path.lanes


# -- bounds
@each_path
def test_without_time_it_ends_at_the_first_look_at_the_clock(path: Path) -> None:
    for count in (1, path.lanes, 3 * path.lanes):
        _, _, done = kernel.advance(bytes(64 * count), [2**40] * count, 2**63, 0.0, path=path.name)
        assert 1 <= done <= 2 * CLOCK_STEPS


@pytest.fixture
def nobody_is_interrupted() -> Iterator[None]:
    """Let a thread keep the interpreter until it gives it away by itself."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(3600)
    yield
    sys.setswitchinterval(usual)


@each_path
@pytest.mark.usefixtures("nobody_is_interrupted")
def test_other_threads_run_meanwhile(path: Path) -> None:
    heard, in_time = threading.Event(), []

    def work() -> None:
        for _ in range(100):
            kernel.advance(bytes(64), [2**40], 2**63, 0.02, path=path.name)
            if heard.is_set():
                break
        in_time.append(heard.is_set())

    thread = threading.Thread(target=work)
    thread.start()
    heard.set()
    thread.join()
    assert in_time == [True], "the interpreter stood still while chains were advanced"


@each_path
def test_the_largest_numbers_are_counted_right(path: Path) -> None:
    most = 2**64 - 1
    for count in (1, path.lanes, 2 * path.lanes):
        _, left, done = kernel.advance(bytes(64 * count), [most] * count, most, -math.inf, path=path.name)
        assert done == sum(most - now for now in left) <= 2 * CLOCK_STEPS
        assert done > 0


# -- which path serves
def test_the_best_path_serves_and_python_is_always_there() -> None:
    assert [tuple(path) for path in NATIVE] == kernel.paths()
    assert NATIVE[-1] == Path("scalar", 1), "plain C runs everywhere"
    assert paths()[-1] == PYTHON
    assert sha512_chain.KIND.path == paths()[0]


@pytest.mark.parametrize("wrong", ["state", "remaining"])
@pytest.mark.parametrize("at", range(9))
def test_a_path_that_disagrees_with_hashlib_in_one_chain_never_serves(
    monkeypatch: pytest.MonkeyPatch, wrong: str, at: int
) -> None:
    """Whether it is one lane that is wrong or what is said to remain: the others serve."""

    def advance(states: bytes, remaining: list[int], *budget: Any, in_order: bool, path: str) -> Any:
        after, left, done = kernel.advance(states, remaining, *budget, in_order=in_order)
        if path == "broken" and wrong == "state":
            after = bytearray(after)
            after[64 * (len(remaining) - 1 - at) + 63] ^= 1
        if path == "broken" and wrong == "remaining":
            left[-1 - at] += 1
        return bytes(after), left, done

    fake = SimpleNamespace(paths=lambda: [("broken", 4), ("sound", 4)], advance=advance)
    monkeypatch.setattr(sha512_chain, "_kernel", fake)
    with pytest.warns(RuntimeWarning, match="the path 'broken' of the kernel computes wrong hashes"):
        assert sha512_chain._usable() == (Path("sound", 4), PYTHON)


def test_without_the_kernel_python_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sha512_chain, "_kernel", None)
    assert sha512_chain._usable() == (PYTHON,)


@each_path
def test_what_is_tried_at_import_meets_every_width_and_every_lane(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def advance(states: bytes, remaining: list[int], *budget: Any, **how: Any) -> Any:
        tried.extend(remaining)
        return kernel.advance(states, remaining, *budget, **how)

    fake = SimpleNamespace(paths=lambda: [path], advance=advance)
    monkeypatch.setattr(sha512_chain, "_kernel", fake)
    sha512_chain._usable()
    assert sum(steps > 0 for steps in tried) > path.lanes, "no lane was given on"
    assert 0 in tried
    assert len(set(tried[-path.lanes :])) == path.lanes, "lanes end together: narrower widths have no turn"
