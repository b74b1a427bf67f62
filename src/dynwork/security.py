"""Who may call. Keys and tokens are compared in constant time, against every candidate, whatever the first one says.

Where none is set (on loopback only) every program of this machine may call, but no web page that its user happens to
look at: a browser sends another site's page here, too, and a name of that site may be made to resolve to 127.0.0.1.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable

from fastapi import Request
from pydantic import SecretStr

from dynwork.addresses import is_loopback
from dynwork.errors import ForeignSiteError, UnauthorizedError
from dynwork.rights import Key


def bearer(request: Request) -> str | None:
    """Return what the request shows as ``Authorization: Bearer …``, ``None`` if nothing."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    # Header bytes are handed over as latin-1; a key outside ASCII was sent as UTF-8.
    shown = value.strip(" \t").encode("latin-1", "replace").decode(errors="surrogateescape")
    return shown if scheme.lower() == "bearer" and shown else None


def matches(shown: str | None, secret: str) -> bool:
    """Compare in constant time. An empty secret matches nothing."""
    if shown is None or not secret:
        return False
    return hmac.compare_digest(shown.encode(errors="surrogateescape"), secret.encode(errors="surrogateescape"))


def key_of(shown: str | None, keys: Iterable[Key]) -> Key:
    """Return the key that was shown. Raises ``UnauthorizedError``."""
    found: Key | None = None
    for key in keys:
        if matches(shown, key.secret):
            found = key
    if found is None:
        raise UnauthorizedError("show a valid key: Authorization: Bearer KEY")
    return found


def require_own_site(request: Request) -> None:
    """Let pass what is addressed to loopback, and comes from no page or from one of our own.

    Browsers name the host that they believe to talk to, and the origin of the page with every request that may change
    something; neither can be forged by a page. Raises ``ForeignSiteError``.
    """
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    name = re.sub(r":\d+$", "", host).strip("[]").lower()
    if not is_loopback(name) or (origin is not None and origin.partition("://")[2] != host):
        raise ForeignSiteError(
            "without keys only this machine is served, at 127.0.0.1 or localhost, and no page of another site: set"
            " DYNWORK_API_KEYS (orchestrator: DYNWORK_API_TOKEN and DYNWORK_WORKER_TOKEN) to be called otherwise"
        )


def require_token(request: Request, token: SecretStr | None) -> None:
    """Let the request pass if it shows ``token``; if none is set (loopback), see :func:`require_own_site`.

    Raises ``UnauthorizedError``, ``ForeignSiteError``.
    """
    if token is None:
        require_own_site(request)
    elif not matches(bearer(request), token.get_secret_value()):
        raise UnauthorizedError("show the role's token: Authorization: Bearer TOKEN")
