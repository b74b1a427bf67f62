"""The systemd unit of a role: it starts again whatever ended it, stops in peace, and may do little else.

Hardening after systemd.exec(5), as ``systemd-analyze security`` reads it. Settings come from an environment file.
"""

from __future__ import annotations

from pathlib import PurePath, PurePosixPath
from typing import Literal

from dynwork.exits import ORPHANED

Role = Literal["api", "orchestrator", "worker"]

STOP_S = 30
"""How long systemd waits for a role to end in peace, seconds: a worker hands back its work, and ample."""
VENV = PurePosixPath("/opt/dynwork")


def unit(role: str, *, venv: PurePath = VENV, log: PurePath | None = None, ends_machine: bool = False) -> str:
    """Return the unit of a :data:`Role` that is installed in ``venv`` and reads ``/etc/dynwork/ROLE.env``.

    ``log``: the file it writes to; ``None``: the journal. ``ends_machine``: for a worker that has the machine to
    itself: one that cannot start, or has not been served for too long, powers it off.
    """
    return _UNIT.format(
        role=role,
        start=_ENDS_MACHINE_LIMIT if ends_machine else "StartLimitIntervalSec=0\n",
        venv=venv,
        state="StateDirectory=dynwork\nEnvironment=DYNWORK_DATA_DIR=/var/lib/dynwork\n"
        if role == "orchestrator"
        else "",
        log=f"StandardOutput=append:{log}\nStandardError=inherit\n" if log else "",
        orphan=_ENDS_MACHINE.format(orphaned=ORPHANED) if ends_machine else "",
        stop_s=STOP_S,
    )


_ENDS_MACHINE_LIMIT = """\
# One that cannot start ends its machine. (SuccessAction and FailureAction would end it at each restart as well.)
StartLimitIntervalSec=600
StartLimitBurst=100
StartLimitAction=poweroff
"""
_ENDS_MACHINE = """\
# A worker that nobody has served for too long ends its machine.
SuccessExitStatus={orphaned}
RestartPreventExitStatus={orphaned}
ExecStopPost=+/bin/sh -c 'test "$$EXIT_STATUS" != {orphaned} || systemctl --no-block poweroff'
"""
_UNIT = """\
[Unit]
Description=dynwork {role}
Wants=network-online.target
After=network-online.target
{start}
[Service]
Type=exec
ExecStart={venv}/bin/python -m dynwork.{role}
EnvironmentFile=/etc/dynwork/{role}.env
Restart=always
RestartSec=2
{state}{log}{orphan}# On SIGTERM it brings what it has begun to an end, or hands it back.
KillMode=mixed
TimeoutStopSec={stop_s}
DynamicUser=yes
ProtectSystem=strict
ProtectHome=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
PrivateDevices=yes
PrivateTmp=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
MemoryMax=90%
TasksMax=4096
LimitNOFILE=65536

[Install]
WantedBy=multi-user.target
"""
