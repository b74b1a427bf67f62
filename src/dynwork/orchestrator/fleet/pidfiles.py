"""How local workers are found again by whoever comes later: one small file each, and a lock that the worker holds.

``DIR/<id>.json`` says which process a worker is. It is written before the process is started (without a pid) and after
(with it); between the two whoever writes it may be killed. So the file alone cannot tell whether the process exists.
``DIR/<id>.lock`` can: it is locked (``flock``) before the start and inherited by the worker, which keeps it, without
knowing, until it ends. A file without a pid whose lock is held is a worker; its pid is then found by the environment
it was started with and by the lock that it has open. One whose lock is free never was, or is no more. There is no
instant at which a worker could be doubled or lost sight of, wherever its starter is killed.

Several orchestrators may share the directory: who sees a worker end forgets it under its lock only, so that one who is
late cannot forget what another has started anew under the same name.

``DIR/launching.lock`` is shared by every launch; whoever holds it alone (a supervisor that is stopping) knows that no
worker starts behind its back. All locks end with their holders: none has to be cleaned up.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

MARKER = "DYNWORK_WORKER_INSTANCE_ID"
"""The environment variable by which a worker process is recognized."""
CREATED_S = 2.0
"""How far the recorded and the seen start of a process may differ, seconds: the kernel's boot time is approximate."""


@dataclass(frozen=True, slots=True)
class PidFile:
    """Who a worker is. ``create_time`` (seconds since the epoch) guards against another process under the same pid."""

    instance_id: str
    pid: int | None = None
    create_time: float | None = None


class PidFiles:
    """The files of one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def make(self) -> None:
        """Create the directory, for this user alone."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def read(self, instance_id: str) -> PidFile | None:
        """Return the file of one worker, ``None`` if there is none.

        One that a power failure has cut short says no more than that it was there: the lock tells the rest.
        """
        try:
            fields = json.loads(self._file(instance_id).read_text())
        except FileNotFoundError:
            return None
        except ValueError:
            return PidFile(instance_id)
        return PidFile(fields["instance_id"], fields["pid"], fields["create_time"])

    def read_all(self) -> list[PidFile]:
        """Return every file, in order of instance id."""
        found = (self.read(path.stem) for path in sorted(self._directory.glob("*.json")))
        return [file for file in found if file is not None]

    def write(self, file: PidFile) -> None:
        """Write or replace a file; a reader sees the old one or the new one, never a part."""
        path = self._file(file.instance_id)
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(file)))
        draft.replace(path)

    def forget(self, instance_id: str) -> None:
        """Forget a worker that is no more, unless somebody has started it anew meanwhile or is just doing so."""
        with self.claimed(instance_id) as fd:
            if fd is not None:
                self.remove(instance_id)

    def remove(self, instance_id: str) -> None:
        """Remove the files of a worker; for who holds its lock, or has ended it."""
        self._file(instance_id).unlink(missing_ok=True)
        self._lock(instance_id).unlink(missing_ok=True)

    def process(self, file: PidFile) -> psutil.Process | None:
        """Return the living process of ``file``; ``None`` if it is gone, or not to be seen yet."""
        if file.pid is None:
            return _find(file.instance_id, self._lock(file.instance_id))
        try:
            process = psutil.Process(file.pid)
            if file.create_time is not None and abs(process.create_time() - file.create_time) > CREATED_S:
                return None
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.NoSuchProcess:
            return None

    def exists(self, file: PidFile) -> bool:
        """Say whether the worker lives, be it that its pid is not known yet."""
        if file.pid is not None:
            return self.process(file) is not None
        with self.claimed(file.instance_id) as fd:
            return fd is None

    def resolve(self, file: PidFile) -> PidFile:
        """Return ``file`` with its pid, looked for and written down if it was missing and can be seen."""
        process = self.process(file) if file.pid is None else None
        if process is None:
            return file
        known = replace(file, pid=process.pid, create_time=process.create_time())
        self.write(known)
        return known

    @contextlib.contextmanager
    def claimed(self, instance_id: str) -> Iterator[int | None]:
        """Hold the worker's lock: yields its descriptor, to be inherited by the worker, or ``None`` if it is held."""
        with _locked(self._lock(instance_id), fcntl.LOCK_EX) as fd:
            yield fd

    @contextlib.contextmanager
    def launching(self, *, alone: bool = False) -> Iterator[bool]:
        """Take part in launching, or (``alone``) keep everyone else from it; yields whether that was possible."""
        with _locked(self._directory / "launching.lock", fcntl.LOCK_EX if alone else fcntl.LOCK_SH) as fd:
            yield fd is not None

    def _file(self, instance_id: str) -> Path:
        return self._directory / f"{instance_id}.json"

    def _lock(self, instance_id: str) -> Path:
        return self._directory / f"{instance_id}.lock"


@contextlib.contextmanager
def _locked(path: Path, how: int) -> Iterator[int | None]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield fd if _is_at(path, fd) else None  # removed between open and lock: it locks nothing any more
    finally:
        os.close(fd)


def _is_at(path: Path, fd: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(fd))
    return False


def _find(instance_id: str, lock: Path) -> psutil.Process | None:
    """Look through this user's processes for the one that was started as ``instance_id`` and has its lock open."""
    path = str(lock.resolve())
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARKER) == instance_id and any(file.path == path for file in process.open_files()):
                return process
    return None
