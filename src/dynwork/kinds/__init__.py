"""Kinds of work: how a chain is started from a buffer and how it is advanced.

A kind is found by its name among the entry points of the group ``dynwork.kinds``; ``sha512-chain`` is built in and the
default. Nothing outside this package knows what a step does.
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


class Starter(Protocol):
    """Starts a chain from a buffer that arrives in pieces."""

    def update(self, piece: bytes) -> None:
        """Take the next piece of the buffer."""
        ...

    def finish(self) -> tuple[bytes, int]:
        """Return ``(state, done)`` after the whole buffer: where the chain starts."""
        ...


@runtime_checkable
class Kind(Protocol):
    """A kind of work. Implementations are stateless; instances are shared."""

    name: str
    """What clients write in ``kind=``."""
    releases_gil: bool
    """Whether :meth:`advance` runs without the interpreter: then in threads, else in processes of its own."""
    state_bytes_max: int
    """Longest state, in bytes; at most 4096."""
    lanes: int
    """How many chains one call of :meth:`advance` moves at the same time (SIMD lanes); 1 for plain code."""

    def start(self) -> Starter:
        """Begin a chain."""
        ...

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> tuple[list[bytes], list[int]]:
        """Advance several chains; return their new states and the steps each of them made.

        ``remaining[i]`` steps at most for chain ``i``, ``max_steps`` at most for all together; stop soon after
        ``max_seconds``. Chains earlier in the list go first. At least one step is made unless nothing remains.
        Deterministic: the same state and steps give the same state, however the calls are cut.
        """
        ...


@cache
def installed() -> Mapping[str, Kind]:
    """Return every kind installed, by name.

    Raises ``ConfigurationError`` for one that cannot be imported or does not fit the protocol: a process that would
    fail at somebody's work refuses to start instead.
    """
    return {entry.name: _load(entry) for entry in entry_points(group=GROUP)}


def _load(entry: EntryPoint) -> Kind:
    what = f"the kind {entry.name!r} ({entry.value})"
    try:
        kind = entry.load()
    except Exception as error:  # foreign code
        raise ConfigurationError(f"{what} cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(kind, Kind):
        raise ConfigurationError(f"{what} is not a dynwork.kinds.Kind")
    if kind.name != entry.name:
        raise ConfigurationError(f"{what} calls itself {kind.name!r}: the entry point must have the same name")
    if not 1 <= kind.state_bytes_max <= STATE_BYTES_MAX or kind.lanes < 1:
        raise ConfigurationError(f"{what} must have states of 1 to {STATE_BYTES_MAX} bytes and at least one lane")
    return kind


def named(name: str) -> Kind:
    """Return the kind called ``name``. Raises ``UnknownKindError`` with the list of known ones."""
    try:
        return installed()[name]
    except KeyError:
        known = ", ".join(sorted(installed()))
        raise UnknownKindError(f"there is no kind {name!r} here; known: {known}") from None
