"""Ports for clusters that do not care which."""

from __future__ import annotations

import contextlib
import socket

from dynwork.errors import ConfigurationError
from dynwork.up.options import ORCHESTRATOR_PORT_OFFSET, POSTGRES_PORT_OFFSET

FIRST, COUNT = 20_000, 10_000
"""Below the ports that the system gives to outgoing connections, so that none of those takes one of ours."""
TRIES_MAX = 100


def free_api_port(apis: int = 2, orchestrators: int = 1) -> int:
    """Return an ``--api-port`` such that every role's port is free just now. Raises ``ConfigurationError``."""
    for _ in range(TRIES_MAX):
        with socket.socket() as any_socket:
            any_socket.bind(("127.0.0.1", 0))
            api_port: int = FIRST + any_socket.getsockname()[1] * 7 % COUNT
        ports = [api_port + index for index in range(apis)]
        ports += [api_port + ORCHESTRATOR_PORT_OFFSET + index for index in range(orchestrators)]
        ports.append(api_port + POSTGRES_PORT_OFFSET)
        if all(map(is_free, ports)):
            return api_port
    raise ConfigurationError(f"no free ports were found between {FIRST} and {FIRST + COUNT}")


def is_free(port: int) -> bool:
    """Say whether nobody listens on ``port`` of loopback just now."""
    with contextlib.suppress(OSError), socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what connections leave behind is no listener
        candidate.bind(("127.0.0.1", port))
        return True
    return False
