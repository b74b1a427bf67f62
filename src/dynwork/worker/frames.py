"""How a worker and its lane processes talk: length-prefixed frames over the child's stdin and stdout.

All numbers are big-endian. A frame is its length (u32) and a payload. A batch: kind length (u16), chains (u32),
seconds (f64), the kind's name, then per chain its state's length (u16), then the steps remaining (u64 each), then the
states. An answer begins with one byte: 0 and seconds (f64), chains (u32), lengths, steps and states likewise; or 1 and
a stable code, a NUL, and the detail of an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct, calcsize, pack, unpack_from
from struct import error as StructError  # noqa: N812 - a name like those of other exceptions

from dynwork.worker.slices import Batch, Slice, WorkError

LENGTH = Struct("!I")
FRAME_BYTES_MAX = 64 * 1024**2
"""Longest payload; a longer one means that the other side has lost its place."""

_BATCH = Struct("!HId")
_SLICE = Struct("!BdI")
_MADE, _FAILED = 0, 1


def framed(payload: bytes) -> bytes:
    """Return ``payload`` with its length before it."""
    return LENGTH.pack(len(payload)) + payload


def length_of(prefix: bytes) -> int:
    """Return the length of the payload that follows ``prefix``. Raises ``ValueError`` for an absurd one."""
    (length,) = LENGTH.unpack(prefix)
    if not 0 < length <= FRAME_BYTES_MAX:
        raise ValueError(f"a frame of {length} bytes")
    return int(length)


def pack_batch(batch: Batch, max_seconds: float) -> bytes:
    """Return the payload that asks for a slice."""
    kind = batch.kind.encode()
    head = _BATCH.pack(len(kind), len(batch.states), max_seconds)
    return head + kind + _pack_chains(batch.states, batch.remaining)


def unpack_batch(payload: bytes) -> tuple[Batch, float]:
    """Undo :func:`pack_batch`."""
    kind_length, count, max_seconds = _BATCH.unpack_from(payload)
    start = _BATCH.size + kind_length
    kind = payload[_BATCH.size : start].decode()
    states, remaining = _unpack_chains(payload, start, count)
    return Batch(kind, states, remaining), max_seconds


def pack_slice(made: Slice) -> bytes:
    """Return the payload that answers with a slice."""
    return _SLICE.pack(_MADE, made.seconds, len(made.states)) + _pack_chains(made.states, made.steps)


def pack_error(error: WorkError) -> bytes:
    """Return the payload that answers with an error of the work."""
    return bytes([_FAILED]) + f"{error.code}\0{error.detail}".encode()


def unpack_answer(payload: bytes, chains: int) -> Slice:
    """Undo :func:`pack_slice`, for a batch of so many chains. Raises the ``WorkError`` of :func:`pack_error`.

    Raises ``ValueError`` for what is no answer to such a batch.
    """
    if payload[:1] == bytes([_FAILED]):
        code, _, detail = payload[1:].decode().partition("\0")
        raise WorkError(code, detail)
    try:
        _, seconds, count = _SLICE.unpack_from(payload)
        states, steps = _unpack_chains(payload, _SLICE.size, count)
    except StructError as wrong:
        raise ValueError(str(wrong)) from wrong
    if count != chains:
        raise ValueError(f"an answer for {count} chains to a batch of {chains}")
    return Slice(states, steps, seconds)


def _pack_chains(states: Sequence[bytes], numbers: Sequence[int]) -> bytes:
    count = len(states)
    return pack(f"!{count}H", *map(len, states)) + pack(f"!{count}Q", *numbers) + b"".join(states)


def _unpack_chains(payload: bytes, start: int, count: int) -> tuple[list[bytes], list[int]]:
    lengths = unpack_from(f"!{count}H", payload, start)
    start += calcsize(f"!{count}H")
    numbers = unpack_from(f"!{count}Q", payload, start)
    start += calcsize(f"!{count}Q")
    states = []
    for length in lengths:
        states.append(payload[start : start + length])
        start += length
    return states, list(numbers)
