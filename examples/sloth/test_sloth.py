"""``sloth``: it keeps the contract of a kind, and what it computes can be checked without computing it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dynwork_sloth
from dynwork.kinds import Kind
from dynwork.testing.kind_contract import KindContract, advanced, started
from dynwork_sloth import KIND, PRIME, is_right, step, step_back

numbers = st.integers(1, PRIME - 1)


class TestSloth(KindContract):
    steps = 8

    @pytest.fixture
    def kind(self) -> Kind:
        return KIND


@given(numbers)
def test_every_step_can_be_walked_back(number: int) -> None:
    assert step_back(step(number)) == number
    assert step(step_back(number)) == number


@given(st.binary(min_size=1), st.integers(0, 8))
def test_a_right_result_is_told_from_any_other(buffer: bytes, steps: int) -> None:
    [state], _ = advanced(KIND, [started(KIND, buffer)[0]], [steps])
    assert is_right(buffer, steps, state)
    assert not is_right(buffer, steps + 1, state)
    assert not is_right(buffer + b"!", steps, state)
    assert not is_right(buffer, steps, bytes([state[0], state[1] ^ 1, *state[2:]]))


@pytest.mark.parametrize("number", [0, PRIME, PRIME + 5])
def test_what_is_no_number_of_the_chain_is_not_right(number: int) -> None:
    assert not is_right(b"buffer", 0, number.to_bytes(dynwork_sloth.STATE_BYTES, "big"))
    assert not is_right(b"buffer", 0, b"short")


def test_the_first_steps_are_known() -> None:
    [state], _ = advanced(KIND, [started(KIND, b"dynwork")[0]], [3])
    assert state.hex() == (
        "01f02473ee02301e6953484a4141df7e86ebae7741bfeb1b8438428b9b9256922c"
        "67c02aeefeb524aa301cb9da45e877a4c107d830689718403c95536e623dd9f52a"
    )
