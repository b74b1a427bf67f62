"""Who may call: tokens of roles and keys of clients."""

from __future__ import annotations

import pytest
from fastapi import Request
from pydantic import SecretStr

from dynwork.errors import UnauthorizedError
from dynwork.security import bearer, matches, owner_of, require_token


def request(authorization: bytes | None) -> Request:
    headers = [] if authorization is None else [(b"authorization", authorization)]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": headers})


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        (None, None),
        (b"", None),
        (b"Bearer", None),
        (b"Bearer   ", None),
        (b"Basic abc", None),
        (b"abc", None),
        (b"Bearer abc", "abc"),
        (b"BEARER  abc ", "abc"),
        (b"Bearer a b", "a b"),
        ("Bearer ключ".encode(), "ключ"),
    ],
)
def test_what_a_request_shows(header: bytes | None, shown: str | None) -> None:
    assert bearer(request(header)) == shown


def test_bytes_that_are_no_text_match_only_themselves() -> None:
    shown = bearer(request(b"Bearer \xff\xfe"))
    assert not matches(shown, "ÿþ")
    assert matches(shown, b"\xff\xfe".decode(errors="surrogateescape"))


def test_nothing_matches_an_empty_secret_or_nothing() -> None:
    assert not matches("", "")
    assert not matches(None, "")
    assert not matches(None, "secret")
    assert not matches("secre", "secret")
    assert matches("secret", "secret")


def test_a_token_lets_pass_who_shows_it_and_refuses_without_repeating_what_was_shown() -> None:
    token = SecretStr("t0ken")
    require_token(request(b"Bearer t0ken"), token)
    for shown in (None, b"Bearer guess", b"Basic t0ken", b"t0ken"):
        with pytest.raises(UnauthorizedError) as raised:
            require_token(request(shown), token)
        assert "guess" not in raised.value.detail
        assert "t0ken" not in raised.value.detail


def test_without_a_token_set_everyone_passes() -> None:
    require_token(request(None), None)


def test_a_key_is_its_owner_s_and_no_other_s() -> None:
    keys = {"red": ["r1", "r2"], "blue": ["b1"]}
    assert [owner_of(key, keys) for key in ("r1", "r2", "b1")] == ["red", "red", "blue"]
    for wrong in (None, "", "r", "r1b1", "red"):
        with pytest.raises(UnauthorizedError):
            owner_of(wrong, keys)
