"""Who may call. Keys and tokens are compared in constant time, against every candidate, whatever the first one says."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping

from fastapi import Request
from pydantic import SecretStr

from dynwork.errors import UnauthorizedError


def bearer(request: Request) -> str | None:
    """Return what the request shows as ``Authorization: Bearer …``, ``None`` if nothing."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    # Header bytes are handed over as latin-1; a key outside ASCII was sent as UTF-8.
    shown = value.strip().encode("latin-1", "replace").decode(errors="surrogateescape")
    return shown if scheme.lower() == "bearer" and shown else None


def matches(shown: str | None, secret: str) -> bool:
    """Compare in constant time. An empty secret matches nothing."""
    if shown is None or not secret:
        return False
    return hmac.compare_digest(shown.encode(errors="surrogateescape"), secret.encode(errors="surrogateescape"))


def owner_of(shown: str | None, keys: Mapping[str, Iterable[str]]) -> str:
    """Return the owner whose key was shown. Raises ``UnauthorizedError``."""
    found: str | None = None
    for owner, secrets in keys.items():
        for secret in secrets:
            if matches(shown, secret):
                found = owner
    if found is None:
        raise UnauthorizedError("show a valid key: Authorization: Bearer KEY")
    return found


def require_token(request: Request, token: SecretStr | None) -> None:
    """Let the request pass if it shows ``token``, or if none is set (loopback). Raises ``UnauthorizedError``."""
    if token is not None and not matches(bearer(request), token.get_secret_value()):
        raise UnauthorizedError("show the role's token: Authorization: Bearer TOKEN")
