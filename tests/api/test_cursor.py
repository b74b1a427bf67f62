"""Cursors: only what was encoded here decodes."""

from __future__ import annotations

import contextlib
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynwork.api import cursor
from dynwork.errors import InvalidInputError


@given(st.integers(0, 2**62))
def test_a_position_comes_back_from_its_cursor(position: int) -> None:
    text = cursor.encode(position)
    assert cursor.decode(text) == position
    assert len(text) == 12
    assert text.replace("-", "").replace("_", "").isalnum()


@given(st.text(alphabet="AQgw09+/-_= \x00é∞", max_size=20))
def test_anything_else_is_refused_or_is_the_one_form_of_its_position(text: str) -> None:
    with contextlib.suppress(InvalidInputError):
        assert cursor.encode(cursor.decode(text)) == text


@pytest.mark.parametrize(
    "forged",
    [
        *("", "0", "17", "AgAAAAAAAAAA", "Af__________", "AQAAAAAAAAAA=", "AQAAAAAAAAAAAAAA", " AQAAAAAAAAAA"),
        "é" * 12,
        *(cursor.encode(2**62 + 1), cursor.encode(2**63 - 1), cursor.encode(2**64 - 1)),
    ],
)
def test_a_forged_cursor_is_refused(forged: str) -> None:
    with pytest.raises(InvalidInputError):
        cursor.decode(forged)


@given(st.uuids())
def test_a_job_comes_back_from_its_cursor(job_id: UUID) -> None:
    text = cursor.encode_job(str(job_id))
    assert cursor.decode_job(text) == str(job_id)
    assert text.replace("-", "").replace("_", "").isalnum()


@given(st.text(alphabet="AgQw09+/-_= \x00é∞", max_size=30))
def test_anything_else_is_no_cursor_of_a_list_or_is_the_one_form_of_its_job(text: str) -> None:
    with contextlib.suppress(InvalidInputError):
        assert cursor.encode_job(cursor.decode_job(text)) == text


def test_a_cursor_of_the_feed_is_none_of_a_list_and_the_other_way_round() -> None:
    with pytest.raises(InvalidInputError):
        cursor.decode_job(cursor.encode(7))
    with pytest.raises(InvalidInputError):
        cursor.decode(cursor.encode_job("01a20f23-3ad6-76a2-a87d-f2a1047c1d04"))
