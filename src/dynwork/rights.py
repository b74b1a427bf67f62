"""Keys of clients: whose they are and what they allow.

An entry of ``DYNWORK_API_KEYS`` is ``owner:key``, or ``owner[rights]:key`` with one or more of ``submit``, ``read`` and
``admin``, joined by ``+``. Without brackets a key may submit and read. Blanks around a key are no part of it, as around
what a request shows; those within are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Right(StrEnum):
    """What a key allows: to hand in and cancel work, to look at it, or both and for every owner's jobs."""

    SUBMIT = "submit"
    READ = "read"
    ADMIN = "admin"


DEFAULT_RIGHTS = frozenset({Right.SUBMIT, Right.READ})
LOCAL_OWNER = "local"
"""The owner of every job while no keys are set."""
OWNER_CHARACTERS_MAX = 64
_ENTRY = re.compile(r"(?P<owner>[^:\[\]\x00]+)(?:\[(?P<rights>[^\]:]*)\])?:[ \t]*(?P<secret>[^ \t].*)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Key:
    """One key. ``secret`` is what its holder shows; it is in no ``repr``."""

    owner: str
    secret: str = field(repr=False)
    rights: frozenset[Right] = DEFAULT_RIGHTS

    def allows(self, right: Right) -> bool:
        """Say whether the key has ``right``; ``admin`` includes the others."""
        return right in self.rights or Right.ADMIN in self.rights


def parse(entry: str) -> Key:
    """Read one entry. Raises ``ValueError``, which never repeats the key."""
    found = _ENTRY.fullmatch(entry)
    if found is None:
        raise ValueError("an entry must be owner:key or owner[rights]:key, e.g. team:s3cr3t or team[read]:s3cr3t")
    owner = found["owner"].strip()
    if not 1 <= len(owner) <= OWNER_CHARACTERS_MAX:
        raise ValueError(f"the name of an owner has 1 to {OWNER_CHARACTERS_MAX} characters")
    secret = found["secret"].rstrip(" \t")
    if _CONTROL.search(secret):
        raise ValueError(f"the key of {owner!r} has a tab, a line end or the like: no more than blanks are expected")
    if found["rights"] is None:
        return Key(owner, secret)
    named = [name.strip() for name in found["rights"].split("+")]
    if unknown := sorted(set(named) - set(Right)):
        raise ValueError(f"{owner!r} is given the right {unknown[0]!r}: known are {', '.join(Right)}")
    return Key(owner, secret, frozenset(map(Right, named)))


def parse_all(entries: Sequence[str]) -> tuple[Key, ...]:
    """Read all entries. Raises ``ValueError``, too, for a key that is there twice: whose would it be?"""
    keys = tuple(map(parse, entries))
    owners: dict[str, str] = {}
    for key in keys:
        if key.secret in owners:
            raise ValueError(f"{owners[key.secret]!r} and {key.owner!r} have the same key: each needs one of its own")
        owners[key.secret] = key.owner
    return keys
