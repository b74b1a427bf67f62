"""The SQLite engine: one file, one writer thread, short reads beside it.

SQLite lets one connection write at a time, so all transactions run on ONE thread, in order, with BEGIN IMMEDIATE. The
journal is a write-ahead log with ``synchronous=FULL``: a transaction that has returned survives the loss of the process
and of the power. Reads run on a few threads of their own, each in a snapshot, and never wait for the writer.

One process may have the file: a lock beside it (``…-lock``, released by the operating system however the process ends)
refuses a second orchestrator. A file that is deleted or replaced while it is open would take what is written with it:
nothing is acknowledged or shown unless the files at the path are still those that were opened.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DatabaseError, DataError, IntegrityError, NotSupportedError, ProgrammingError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from dynwork.errors import ConfigurationError, StoreLockedError, StoreUnavailableError
from dynwork.ids import new_id
from dynwork.orchestrator.store.migrate import migrate
from dynwork.orchestrator.store.transactions import Transactions
from dynwork.orchestrator.store.values import News, Rules

READERS = 2
BUSY_MS = 5_000
"""How long a statement waits for a lock of another program (a backup, a shell), milliseconds."""
CHECKPOINT_PAGES = 8_000
"""Pages of 4 KiB in the log before they are written back to the file. A round of 500 jobs in front of millions changes
a thousand; written back each time, as is the default, such rounds take half as long again."""
_SHARD = "sqlite"
_DEFECTS = (DataError, IntegrityError, NotSupportedError, ProgrammingError)
"""What a statement of ours is to blame for; everything else (locked, full, broken) is the state of the file."""

T = TypeVar("T")


class SqliteStore(Transactions):
    """A :class:`dynwork.orchestrator.store.port.Store` in one file."""

    def __init__(self, path: Path, rules: Rules) -> None:
        super().__init__(rules, _SHARD)
        self._path = path
        self._lock_fd: int | None = None
        self._cluster_id = ""
        self._opened: list[tuple[int, int] | None] = []
        self._writing = ThreadPoolExecutor(1, "store-writer")
        self._reading = ThreadPoolExecutor(READERS, "store-reader")
        self._writer = _engine(path, "rwc", "BEGIN IMMEDIATE", 1)
        self._reader = _engine(path, "rw", "BEGIN", READERS)

    async def open(self) -> None:
        """See :meth:`Store.open`."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock_fd = _lock(self._path)
        except OSError as error:
            raise ConfigurationError(f"cannot use {self._path}: {error.strerror}; set DYNWORK_DATA_DIR") from error
        try:
            self._cluster_id = await self._write(lambda conn: migrate(conn, new_id()))
            self._opened = _identities(self._path)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """See :meth:`Store.close`."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        for pool in (self._writing, self._reading):
            pool.shutdown(wait=True, cancel_futures=True)
        for engine in (self._reader, self._writer):
            engine.dispose()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    async def cluster_id(self) -> str:
        """See :meth:`Store.cluster_id`."""
        return self._cluster_id

    # -- nobody is beside it
    async def time(self) -> None:
        """None: it serves one orchestrator."""

    async def announce(self, news: News) -> None:
        """Nobody else is there to hear it."""

    async def listen(self, heed: Callable[[News], None]) -> None:
        """Wait for ever: nobody else is there to announce anything."""
        await asyncio.Event().wait()

    # -- threads and transactions
    async def _write(self, act: Callable[[Connection], T]) -> T:
        return await self._run(self._writing, self._writer, act)

    async def _read(self, act: Callable[[Connection], T]) -> T:
        return await self._run(self._reading, self._reader, act)

    async def _run(self, threads: ThreadPoolExecutor, engine: Engine, act: Callable[[Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(threads, self._transact, engine, act)

    def _transact(self, engine: Engine, act: Callable[[Connection], T]) -> T:
        """Run ``act`` in one transaction; what the engine cannot do just now is ``StoreUnavailableError``."""
        try:
            with engine.begin() as conn:
                done = act(conn)
        except _DEFECTS:
            raise
        except DatabaseError as error:
            raise StoreUnavailableError(f"the store did not commit: {error.orig}", retry_after_s=1) from error
        if self._opened and _identities(self._path) != self._opened:
            detail = f"{self._path} was deleted or replaced while it was open: put it back, or start again without it"
            raise StoreUnavailableError(detail)
        return done


def _engine(path: Path, mode: str, begin: str, connections: int) -> Engine:
    """``mode``: ``rw``, or ``rwc`` for what may create the file: a late reader must not make an empty one."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=BUSY_MS / 1000),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
    )

    @event.listens_for(engine, "connect")
    def connected(dbapi: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        dbapi.isolation_level = None  # sqlite3 must not send a BEGIN of its own
        cursor = dbapi.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            f"wal_autocheckpoint={CHECKPOINT_PAGES}",
            f"busy_timeout={BUSY_MS}",
            "cache_size=-65536",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def began(conn: Connection) -> None:
        conn.exec_driver_sql(begin)

    return engine


def _identities(path: Path) -> list[tuple[int, int] | None]:
    """Return what tells the database and its log from other files at the same paths."""
    return [_identity(name) for name in (str(path), f"{path}-wal")]


def _identity(name: str) -> tuple[int, int] | None:
    try:
        status = os.stat(name)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _lock(path: Path) -> int:
    """Take the lock beside the file; return its descriptor, which holds the lock while it is open."""
    descriptor = os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreLockedError(
            f"{path} is in use by another orchestrator, and SQLite serves one."
            " End the other, or choose another DYNWORK_DATA_DIR"
        ) from None
    return descriptor
