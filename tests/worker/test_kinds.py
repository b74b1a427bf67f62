"""Kinds: chains end as hashlib says, however they are resumed; what does not fit is refused by name."""

from __future__ import annotations

import math
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynwork import kinds
from dynwork.errors import ConfigurationError, UnknownKindError
from dynwork.kinds import Kind
from dynwork.kinds.sha512_chain import KIND
from dynwork.testing import kinds as test_kinds
from dynwork.testing.kinds import APPEND_STEPS, STEPS_FILE, AppendSteps, Steps, computed_twice, expected, witnessed

CHAINS = [KIND, APPEND_STEPS]
each_kind = pytest.mark.parametrize("kind", CHAINS, ids=lambda kind: kind.name)


@pytest.fixture(autouse=True)
def no_witness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(test_kinds.STEPS_FILE, raising=False)
    monkeypatch.delenv(test_kinds.STEPS_PER_S, raising=False)


@each_kind
@given(pieces=st.lists(st.binary(max_size=300)), cuts=st.lists(st.integers(1, 400), max_size=8), rest=st.integers(0, 9))
def test_resumed_anywhere_a_chain_ends_as_if_it_never_stopped(
    kind: Kind, pieces: list[bytes], cuts: list[int], rest: int
) -> None:
    starter = kind.start()
    for piece in pieces:
        starter.update(piece)
    state, done = starter.finish()
    total = done + sum(cuts) + rest
    for cut in [*cuts, total]:
        states, steps = kind.advance([state], [total - done], cut, math.inf)
        state, done = states[0], done + steps[0]
    assert done == total
    assert state.hex() == expected(kind.name, b"".join(pieces), total)


def test_the_built_in_kind_is_found_by_its_name() -> None:
    assert kinds.named(kinds.DEFAULT_KIND) is KIND
    with pytest.raises(UnknownKindError, match=r"there is no kind 'x' here; known: .*sha512-chain"):
        kinds.named("x")


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("no_such_module:KIND", "cannot be loaded: ModuleNotFoundError"),
        ("dynwork.kinds:GROUP", "is not a dynwork.kinds.Kind: it has no name, releases_gil"),
        ("dynwork.testing.kinds:RAISER", "calls itself 'raiser'"),
        ("dynwork.testing.kinds:Raiser", "is a class, not an instance of it"),
    ],
)
def test_a_kind_that_does_not_fit_is_refused_by_name(value: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=f"the kind 'odd'.*{complaint}"):
        kinds._load(EntryPoint("odd", value, kinds.GROUP))


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"name": ""}, "must have a name of 1 to 64 characters"),
        ({"name": "x" * 65}, "must have a name of 1 to 64 characters"),
        ({"name": 5}, "must have a name of 1 to 64 characters"),
        ({"state_bytes_max": 0}, "must have states of 1 to 4096 bytes"),
        ({"state_bytes_max": 4097}, "must have states of 1 to 4096 bytes"),
        ({"state_bytes_max": 64.0}, "must have states of 1 to 4096 bytes"),
        ({"lanes": 0}, "must have 1 to 1024 lanes"),
        ({"lanes": 1025}, "must have 1 to 1024 lanes"),
        ({"lanes": "4"}, "must have 1 to 1024 lanes"),
        ({"start": None}, "it has no start"),
        ({"releases_gil": "no"}, "must say of releases_gil whether it is True or False"),
    ],
)
def test_what_a_kind_says_of_itself_must_be_within_bounds(said: dict[str, object], complaint: str) -> None:
    kinds.check(APPEND_STEPS)
    with pytest.raises(ConfigurationError, match=complaint):
        kinds.check(type("Odd", (AppendSteps,), said)())


def test_two_kinds_of_one_name_are_refused_not_one_of_them_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package must not take the place of the built-in kind, whichever is found first."""
    built_in = EntryPoint(KIND.name, "dynwork.kinds.sha512_chain:KIND", kinds.GROUP)
    entries = [built_in, built_in]  # found twice, as in a wheel beside a source tree, it is one
    monkeypatch.setattr(kinds, "entry_points", lambda group: entries)
    assert kinds.installed.__wrapped__() == {KIND.name: KIND}
    entries.append(EntryPoint(KIND.name, "elsewhere:KIND", kinds.GROUP))
    with pytest.raises(ConfigurationError, match=r"two kinds 'sha512-chain': dynwork.*:KIND and elsewhere:KIND"):
        kinds.installed.__wrapped__()


# -- the witness of append-steps
def test_every_burst_is_written_down_before_it_is_returned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "steps"
    monkeypatch.setenv(STEPS_FILE, str(file))
    state, done = APPEND_STEPS.start().finish()
    APPEND_STEPS.advance([state], [2500], 2500, math.inf)
    start = state[:64].hex()
    assert witnessed(file) == [Steps(start, done + at, min(done + at + 1000, done + 2500)) for at in (0, 1000, 2000)]


def test_a_line_cut_short_by_a_kill_counts_as_not_written(tmp_path: Path) -> None:
    file = tmp_path / "steps"
    file.write_text("aa 1 5\naa 5 1")
    assert witnessed(file) == [Steps("aa", 1, 5)]
    assert witnessed(tmp_path / "none") == []


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=12))
def test_steps_made_twice_are_counted_each_further_time(pairs: list[tuple[int, int]]) -> None:
    spans = [(min(pair), max(pair)) for pair in pairs]
    every = [step for first, last in spans for step in range(first, last)]
    counted = computed_twice(Steps("a", first, last) for first, last in spans)
    assert counted.get("a", 0) == len(every) - len(set(every))
