"""Who may call: tokens of roles and keys of clients."""

from __future__ import annotations

import pytest
from fastapi import Request
from pydantic import SecretStr

from dynwork.errors import ForeignSiteError, UnauthorizedError
from dynwork.rights import Key
from dynwork.security import bearer, key_of, matches, require_token


def request(
    authorization: bytes | None, host: bytes | None = b"127.0.0.1:8100", origin: bytes | None = None
) -> Request:
    named = {b"authorization": authorization, b"host": host, b"origin": origin}
    headers = [(name, value) for name, value in named.items() if value is not None]
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
        ("Bearer voilà".encode(), "voilà"),
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


@pytest.mark.parametrize(
    "host", [b"127.0.0.1:8100", b"127.0.0.1", b"localhost:80", b"LOCALHOST", b"[::1]:8100", b"[::1]"]
)
def test_without_a_token_set_every_program_of_this_machine_passes(host: bytes) -> None:
    require_token(request(None, host), None)
    require_token(request(None, host, origin=b"http://" + host), None)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (b"127.0.0.1:8100", b"http://evil.example"),
        (b"127.0.0.1:8100", b"http://127.0.0.1:3000"),
        (b"127.0.0.1:8100", b"http://evil.example/127.0.0.1:8100"),
        (b"127.0.0.1:8100", b"null"),
        (b"127.0.0.1:8100", b""),
        (b"evil.example:8100", None),
        (b"evil.example:8100", b"http://evil.example:8100"),
        (b"127.0.0.1.evil.example", None),
        (b"localhost.evil.example", None),
        (b"127.0.0.1@evil.example", None),
        (b"10.0.0.1:8100", None),
        (b"", None),
        (None, None),
    ],
)
def test_without_a_token_set_no_page_of_another_site_passes(host: bytes | None, origin: bytes | None) -> None:
    with pytest.raises(ForeignSiteError):
        require_token(request(None, host, origin), None)


def test_with_a_token_it_does_not_matter_where_the_request_comes_from() -> None:
    require_token(request(b"Bearer t0ken", b"jobs.example", b"https://page.example"), SecretStr("t0ken"))


def test_a_key_is_its_owner_s_and_no_other_s() -> None:
    keys = (Key("red", "r1"), Key("red", "r2"), Key("blue", "b1"))
    assert [key_of(shown, keys).owner for shown in ("r1", "r2", "b1")] == ["red", "red", "blue"]
    for wrong in (None, "", "r", "r1b1", "red"):
        with pytest.raises(UnauthorizedError):
            key_of(wrong, keys)
