"""Network addresses: who can reach them."""

from __future__ import annotations

import ipaddress


def is_unspecified(host: str) -> bool:
    """Say whether ``host`` means every address of this machine: good for listening, no address to call."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Say whether ``host`` (a name or an address, no port) can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
