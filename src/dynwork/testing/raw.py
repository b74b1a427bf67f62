"""HTTP/1.1 by hand: requests that no well-behaved client would send."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(port: int) -> AsyncGenerator[Streams]:
    """Connect to ``port`` of this machine; at the end close, whatever is still to come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


def head(request: str, *headers: str) -> bytes:
    """Return the request line (``request`` is method and target) and the headers, up to the body."""
    return "\r\n".join([f"{request} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def chunks(pieces: Iterable[bytes]) -> bytes:
    """Return ``pieces`` in chunked encoding, without the last chunk, which says that this was all."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


LAST_CHUNK = b"0\r\n\r\n"


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    """Return status, headers (in small letters) and body of the next answer on the connection."""
    headers = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(headers.split(b"content-length: ")[1].split(b"\r\n")[0])
    return int(headers.split()[1]), headers, await reader.readexactly(length)
