"""A kind is foreign code: what it returns is checked, and what it raises becomes an error of the work."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynwork.kinds.sha512_chain import KIND, Sha512Starter
from dynwork.wire import STEPS_MAX
from dynwork.worker import frames
from dynwork.worker.slices import DETAIL_CHARS_MAX, Batch, Slice, WorkError, advance


class MuteError(Exception):
    def __str__(self) -> str:
        raise SystemExit(4)


BATCH = Batch("scripted", [b"a", b"b"], [5, 5])


@dataclass
class Scripted:
    states: Sequence[bytes] = (b"c", b"d")
    steps: Sequence[int] = (5, 5)
    error: BaseException | None = None
    name: str = "scripted"
    releases_gil: bool = True
    state_bytes_max: int = 4
    lanes: int = 1

    def start(self) -> Sha512Starter:
        return Sha512Starter()

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> tuple[list[bytes], list[int]]:
        if self.error:
            raise self.error
        return list(self.states), list(self.steps)


def test_a_kind_that_keeps_its_contract_is_believed() -> None:
    made = advance(Scripted(), BATCH, 1.0)
    assert (made.states, made.steps) == ([b"c", b"d"], [5, 5])
    assert made.seconds >= 0


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        (Scripted(states=(b"c",)), "1 states and 2 steps for 2"),
        (Scripted(steps=(5,)), "2 states and 1 steps for 2"),
        (Scripted(steps=(6, 5)), "6 steps where 5 remained"),
        (Scripted(steps=(-1, 5)), "-1 steps"),
        (Scripted(steps=(0, 0)), "no step"),
        (Scripted(states=(b"", b"d")), "a state of 0 bytes"),
        (Scripted(states=(b"c" * 5, b"d")), "a state of 5 bytes"),
        (Scripted(states=("c", b"d")), "a state of the type str"),  # type: ignore[arg-type]
        (Scripted(states=(b"c", bytearray(b"d"))), "a state of the type bytearray"),  # type: ignore[arg-type]
        (Scripted(steps=(1.5, 5)), "steps of the type float"),  # type: ignore[arg-type]
        (Scripted(error=KeyError("x")), "KeyError: 'x'"),
        (Scripted(error=SystemExit(3)), "SystemExit: 3"),
        (Scripted(error=asyncio.CancelledError()), "CancelledError"),
        (Scripted(error=MuteError()), r"MuteError: its text cannot be had \(SystemExit\)"),
    ],
)
def test_a_kind_that_raises_or_breaks_its_contract_is_an_error_of_the_work(kind: Scripted, complaint: str) -> None:
    with pytest.raises(WorkError, match=complaint) as caught:
        advance(kind, BATCH, 1.0)
    assert caught.value.code == "kind_error"


class Overwriting(Scripted):
    """Makes its lists say that it was asked for as much as it returns."""

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> tuple[list[bytes], list[int]]:
        states[:], remaining[:] = self.states, self.steps  # type: ignore[index]
        return super().advance(states, remaining, max_steps, max_seconds)


def test_a_kind_is_held_against_what_it_was_asked_for_whatever_it_does_to_its_lists() -> None:
    with pytest.raises(WorkError, match="6 steps where 5 remained"):
        advance(Overwriting(steps=(6, 5)), BATCH, 1.0)
    assert (BATCH.states, BATCH.remaining) == ([b"a", b"b"], [5, 5])


def test_the_detail_of_an_error_is_bounded() -> None:
    with pytest.raises(WorkError) as caught:
        advance(Scripted(error=ValueError("x" * 100_000)), BATCH, 1.0)
    assert len(caught.value.detail) == DETAIL_CHARS_MAX


def test_the_detail_of_an_error_can_be_sent() -> None:
    with pytest.raises(WorkError) as caught:
        advance(Scripted(error=ValueError("not text: \udcff")), BATCH, 1.0)
    assert caught.value.detail == "ValueError: not text: ?"


states = st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=20)


@given(st.text(max_size=64), states, st.data(), st.floats(0, 60))
def test_a_batch_crosses_the_pipe_unchanged(
    kind: str, chains: list[bytes], data: st.DataObject, seconds: float
) -> None:
    steps = st.lists(st.integers(0, STEPS_MAX), min_size=len(chains), max_size=len(chains))
    batch = Batch(kind, chains, data.draw(steps))
    assert frames.unpack_batch(frames.pack_batch(batch, seconds)) == (batch, seconds)
    made = Slice(chains, batch.remaining, seconds)
    assert frames.unpack_answer(frames.pack_slice(made), len(made.states)) == made


@given(st.text("abc_", min_size=1), st.text(max_size=50))
def test_an_error_crosses_the_pipe_unchanged(code: str, detail: str) -> None:
    with pytest.raises(WorkError) as caught:
        frames.unpack_answer(frames.pack_error(WorkError(code, detail)), 1)
    assert (caught.value.code, caught.value.detail) == (code, detail)


@pytest.mark.parametrize("length", [0, frames.FRAME_BYTES_MAX + 1])
def test_an_absurd_length_means_that_the_other_side_lost_its_place(length: int) -> None:
    with pytest.raises(ValueError, match="a frame of"):
        frames.length_of(frames.LENGTH.pack(length))


def test_the_longest_batch_fits_into_a_frame() -> None:
    batch = Batch(KIND.name, [bytes(4096)] * 2000, [1] * 2000)
    assert len(frames.pack_batch(batch, 0.05)) < frames.FRAME_BYTES_MAX
