"""``python -m dynwork.up.server_process UID GID PARENT COMMAND…``: becomes COMMAND, as that user, ending with PARENT.

PostgreSQL refuses to run as root, and it must not outlive whoever started it, not even one that was killed. Between a
fork and the command's start there is one moment in which both can be arranged: here, after the user was changed (that
clears the parent-death signal) and before the command takes this process over. A parent that ended before the signal
was asked for is noticed by its number.
"""

from __future__ import annotations

import ctypes  # before the user changes, who may not be allowed to read it
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
EXIT_REFUSED = 2


def main(arguments: list[str]) -> int:
    """Become the command; return an exit code only if that is not possible."""
    uid, gid, parent, *command = arguments
    if os.geteuid() != int(uid):
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
    if os.getppid() != int(parent):
        return 0
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be run: {error.strerror}\n")
    return EXIT_REFUSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
