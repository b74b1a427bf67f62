"""Kinds of work: how a chain is started from a buffer and how it is advanced.

A chain is three values, ``(state, done, total)``: a few bytes, the steps made so far, the steps asked for
(``iterations``). Whoever has them can go on: starting, resuming after a crash and moving to another machine are the
same. A kind says what a step does, and nothing outside this package knows.

A kind is found by its name among the entry points of the group ``dynwork.kinds``; ``sha512-chain`` is built in and the
default. How to bring your own: ``docs/howto/your-own-kind.md``; what any kind must do, as tests:
:class:`dynwork.testing.kind_contract.KindContract`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, runtime_checkable

from dynwork.errors import ConfigurationError, UnknownKindError

DEFAULT_KIND = "sha512-chain"
GROUP = "dynwork.kinds"
STATE_BYTES_MAX = 4096
"""Longest state a kind may have, bytes: states travel in every checkpoint."""
NAME_CHARS_MAX = 64
"""Longest name a kind may have, characters."""
LANES_MAX = 1024
"""Most lanes a kind may have."""


class Starter(Protocol):
    """Starts a chain from a buffer that arrives in pieces. Lives in an API process, for one request."""

    def update(self, piece: bytes) -> None:
        """Take the next piece of the buffer, of any length, 0 included. Quick: other requests wait meanwhile."""
        ...

    def finish(self) -> tuple[bytes, int]:
        """Return ``(state, done)`` after the whole buffer: where the chain starts, and how many steps that was.

        The same buffer gives the same, in whatever pieces it came. Raise ``dynwork.errors.InvalidInputError`` for a
        buffer that means nothing to this kind: the client is told (422), and nothing is submitted.
        """
        ...


@runtime_checkable
class Kind(Protocol):
    """A kind of work. Implementations are stateless; an instance is shared, by threads too if it ``releases_gil``."""

    name: str
    """What clients write in ``kind=``, at most 64 characters; the entry point has the same name."""
    releases_gil: bool
    """Whether :meth:`advance` runs without the interpreter: then in threads, else in processes of its own."""
    state_bytes_max: int
    """Longest state, in bytes; at most 4096: states travel in every checkpoint. The shortest has one byte."""
    lanes: int
    """How many chains one call of :meth:`advance` moves at the same time (SIMD lanes): 1, for plain code, to 1024."""

    def start(self) -> Starter:
        """Begin a chain."""
        ...

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> tuple[list[bytes], list[int]]:
        """Advance several chains; return their new states and the steps each of them made.

        ``remaining[i]`` steps at most for chain ``i``, ``max_steps`` at most for all together, and so many if time
        allows; stop soon after ``max_seconds``. Chains earlier in the list go first: of the chains before one that was
        begun fewer than ``lanes`` are unfinished. At least one step is made unless nothing remains. The lists that are
        given stay as they are.
        Deterministic: the same state and steps give the same state, however the calls are cut, on every machine.
        What this raises fails the job (``kind_error``), which is tried again, up to ``DYNWORK_ATTEMPTS_MAX`` times.
        """
        ...


@cache
def installed() -> Mapping[str, Kind]:
    """Return every kind installed, by name.

    Raises ``ConfigurationError`` for one that cannot be imported or does not fit the protocol, and for two of the same
    name: a process that would fail at somebody's work, or do another's, refuses to start instead.
    """
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        other = found.setdefault(entry.name, entry)
        if other.value != entry.value:
            raise ConfigurationError(f"there are two kinds {entry.name!r}: {other.value} and {entry.value}")
    return {name: _load(entry) for name, entry in found.items()}


def check(kind: object) -> None:
    """Raise ``ConfigurationError`` if what ``kind`` says of itself does not fit :class:`Kind`."""
    if isinstance(kind, type):
        raise ConfigurationError("is a class, not an instance of it")
    missing = [name for name in (*Kind.__annotations__, "start", "advance") if getattr(kind, name, None) is None]
    if missing:
        raise ConfigurationError(f"is not a dynwork.kinds.Kind: it has no {', '.join(missing)}")
    assert isinstance(kind, Kind)
    if not (type(kind.name) is str and 1 <= len(kind.name) <= NAME_CHARS_MAX):
        raise ConfigurationError(f"must have a name of 1 to {NAME_CHARS_MAX} characters")
    if not _is_count(kind.state_bytes_max, STATE_BYTES_MAX):
        raise ConfigurationError(f"must have states of 1 to {STATE_BYTES_MAX} bytes")
    if not _is_count(kind.lanes, LANES_MAX):
        raise ConfigurationError(f"must have 1 to {LANES_MAX} lanes")
    if type(kind.releases_gil) is not bool:
        raise ConfigurationError("must say of releases_gil whether it is True or False")


def _is_count(value: object, most: int) -> bool:
    return type(value) is int and 1 <= value <= most


def _load(entry: EntryPoint) -> Kind:
    what = f"the kind {entry.name!r} ({entry.value})"
    try:
        kind: Kind = entry.load()
    except Exception as error:  # foreign code
        raise ConfigurationError(f"{what} cannot be loaded: {type(error).__name__}: {error}") from error
    try:
        check(kind)
    except ConfigurationError as error:
        raise ConfigurationError(f"{what} {error.detail}") from error
    if kind.name != entry.name:
        raise ConfigurationError(f"{what} calls itself {kind.name!r}: the entry point must have the same name")
    return kind


def named(name: str) -> Kind:
    """Return the kind called ``name``. Raises ``UnknownKindError`` with the list of known ones."""
    try:
        return installed()[name]
    except KeyError:
        known = ", ".join(sorted(installed()))
        raise UnknownKindError(f"there is no kind {name!r} here; known: {known}") from None
