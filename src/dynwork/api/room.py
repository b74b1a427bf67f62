"""The room for messages that must be read whole: bytes in memory, by what has arrived, and who holds them.

Nobody holds more than half of it, and a message that is long leaves what is set aside for short ones alone: whoever
fills the room, by intent or by a slow line, keeps neither another owner nor a list of digests out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Hashable
from contextlib import contextmanager
from dataclasses import dataclass, field

from dynwork import errors

BYTES_MAX = 32 * 1024**2
"""Bytes of messages in memory at the same time; beyond: 503."""
SHORT_BYTES_MAX = 512 * 1024
"""A message up to this long is short: 1000 digests with keys of 256 characters are."""
ASIDE_BYTES_MAX = 2 * 1024**2
"""Bytes beyond that which only short messages may take."""


class Room:
    """The bytes that are held: of two of the longest messages at least, so that one finds room when nobody is here."""

    def __init__(self, longest_bytes: int) -> None:
        self._bytes_max = max(BYTES_MAX, 2 * longest_bytes)
        self._held = 0
        self._by_holder = Counter[Hashable]()

    @contextmanager
    def message(self, whose: Hashable) -> Generator[Message]:
        """Hold one message; what it took is given back at the end."""
        message = Message(self, whose)
        try:
            yield message
        finally:
            self._held -= len(message.body)
            self._by_holder[whose] -= len(message.body)
            if not self._by_holder[whose]:
                del self._by_holder[whose]
            message.body.clear()  # whoever still has it waits for an orchestrator

    def take(self, message: Message, size: int) -> None:
        """Let ``message`` grow by ``size`` bytes. Raises ``UnavailableError``."""
        own, held = self._by_holder[message.whose], self._held
        if own + size > self._bytes_max // 2:
            raise errors.UnavailableError(f"{own} bytes of your bulk submissions are being read here: try again")
        short = len(message.body) + size <= SHORT_BYTES_MAX
        if held + size > self._bytes_max + (ASIDE_BYTES_MAX if short else 0):
            raise errors.UnavailableError(f"{held} bytes of bulk submissions are being read here: try again")
        self._held += size
        self._by_holder[message.whose] += size


@dataclass(eq=False, slots=True)
class Message:
    """One message as it arrives."""

    _room: Room
    whose: Hashable
    body: bytearray = field(default_factory=bytearray)

    def add(self, piece: bytes) -> None:
        """Keep ``piece``. Raises ``UnavailableError``."""
        self._room.take(self, len(piece))
        self.body += piece
