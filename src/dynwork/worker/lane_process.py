"""``python -m dynwork.worker.lane_process``: the child that advances chains of kinds which hold the interpreter.

It reads a batch from stdin, works for at most a slice, answers on stdout, and begins again. It must never outlive its
worker, even one that was killed: stdin ends with the worker, and is read after every slice; on Linux the kernel also
ends it by signal, in case a kind does not come back. SIGINT and SIGTERM of the process group are for the worker: it
decides when lanes end. A kind may print: its stdout is stderr here, frames travel on descriptors of their own. A kind
may fork: a child has no part in the frames, so it neither answers in its parent's place nor keeps the pipe open.
"""

from __future__ import annotations

import os
import signal
import sys

from dynwork import kinds
from dynwork.worker import frames, niceness, slices

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main() -> int:
    """Serve batches until stdin ends; return the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _end_with_parent()
    niceness.give_way()
    source, sink = _take_pipes()
    while (payload := _read_frame(source)) is not None:
        if not _write(sink, frames.framed(_answer(payload))):
            break
    return 0


def _answer(payload: bytes) -> bytes:
    batch, max_seconds = frames.unpack_batch(payload)
    try:
        return frames.pack_slice(slices.advance(kinds.named(batch.kind), batch, max_seconds))
    except slices.WorkError as error:
        return frames.pack_error(error)


def _end_with_parent() -> None:
    """Ask the kernel for SIGKILL when the worker dies. Best effort: the end of stdin is what must hold."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _take_pipes() -> tuple[int, int]:
    """Move the frame pipes out of the way of a kind that reads stdin or prints."""
    source, sink = os.dup(0), os.dup(1)
    _to_nothing(0)
    os.dup2(2, 1)
    os.register_at_fork(after_in_child=lambda: _to_nothing(source, sink))
    return source, sink


def _to_nothing(*descriptors: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nothing, descriptor, inheritable=descriptor == 0)
    os.close(nothing)


def _read_frame(source: int) -> bytes | None:
    prefix = _read(source, frames.LENGTH.size)
    return _read(source, frames.length_of(prefix)) if prefix else None


def _read(source: int, count: int) -> bytes | None:
    """Return exactly ``count`` bytes, ``None`` when the worker is gone."""
    pieces = []
    while count > 0:
        piece = os.read(source, count)
        if not piece:
            return None
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def _write(sink: int, data: bytes) -> bool:
    """Write all of ``data``; say whether the worker is still there."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(sink, view) :]
    except BrokenPipeError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
