"""How keys are written, and what they allow."""

from __future__ import annotations

import itertools

import pytest

from dynwork import rights
from dynwork.errors import ConfigurationError
from dynwork.rights import Right
from dynwork.settings import ApiSettings, load

SUBMIT, READ, ADMIN = Right.SUBMIT, Right.READ, Right.ADMIN


@pytest.mark.parametrize(
    ("entry", "owner", "secret", "allowed"),
    [
        ("team:s3cr3t", "team", "s3cr3t", {SUBMIT, READ}),
        ("team:with:colons[and]brackets", "team", "with:colons[and]brackets", {SUBMIT, READ}),
        ("team[read]:k", "team", "k", {READ}),
        ("team[submit]:k", "team", "k", {SUBMIT}),
        ("team[submit+read]:k", "team", "k", {SUBMIT, READ}),
        ("team[ read + submit ]:k", "team", "k", {SUBMIT, READ}),
        ("ops[admin]:k", "ops", "k", {SUBMIT, READ, ADMIN}),
        ("the team [read]:k", "the team", "k", {READ}),
        ("team: s3cr3t", "team", "s3cr3t", {SUBMIT, READ}),
        ("team[read]:  s3cr3t\t ", "team", "s3cr3t", {READ}),
        ("team: two words ", "team", "two words", {SUBMIT, READ}),
    ],
)
def test_an_entry_says_whose_the_key_is_and_what_it_allows(
    entry: str, owner: str, secret: str, allowed: set[Right]
) -> None:
    key = rights.parse(entry)
    assert (key.owner, key.secret) == (owner, secret)
    assert {right for right in Right if key.allows(right)} == allowed
    assert secret not in repr(key)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("hunter2", "owner:key"),
        (":hunter2", "owner:key"),
        ("team:", "owner:key"),
        ("team:  ", "owner:key"),
        ("team:hunter2\nhunter2", "blanks are expected"),
        ("team:hunter2\thunter2", "blanks are expected"),
        ("team:hunter2\x7f", "blanks are expected"),
        ("team[read:hunter2", "owner:key"),
        ("team[read]hunter2", "owner:key"),
        ("  [read]:hunter2", "1 to 64"),
        ("x" * 65 + ":hunter2", "1 to 64"),
        ("team[]:hunter2", "the right ''"),
        ("team[write]:hunter2", "the right 'write': known are submit, read, admin"),
        ("team[read,submit]:hunter2", "the right 'read,submit'"),
    ],
)
def test_a_malformed_entry_is_refused_and_never_repeated(entry: str, why: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - what it says is looked at below
        rights.parse(entry)
    assert why in str(raised.value)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("second", ["red:same", "blue:same", "red[read]:same"])
def test_two_entries_with_one_key_refuse_to_start(monkeypatch: pytest.MonkeyPatch, second: str) -> None:
    monkeypatch.setenv("DYNWORK_API_KEYS", f"red:same,{second}")
    with pytest.raises(ConfigurationError, match="have the same key") as raised:
        load(ApiSettings)
    assert "same," not in raised.value.detail


def test_a_wrong_right_refuses_to_start_and_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNWORK_API_KEYS", "red[everything]:k3y")
    with pytest.raises(ConfigurationError, match="DYNWORK_API_KEYS: 'red' is given the right 'everything'") as raised:
        load(ApiSettings)
    assert "k3y" not in raised.value.detail


@pytest.mark.parametrize("named", list(itertools.permutations(["submit", "read", "admin"])))
def test_rights_may_be_named_in_any_order(named: tuple[str, ...]) -> None:
    assert rights.parse(f"team[{'+'.join(named)}]:k").rights == set(Right)
