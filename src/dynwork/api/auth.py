"""Whose request it is, and whether it may: the one dependency in front of every route that needs a key.

A route says which right it needs where it is defined: ``dependencies=[guard.needs(Right.READ)]``. That is what the
guard checks, what the OpenAPI document shows, and what the test of all routes against all rights reads.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from fastapi import Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from dynwork.errors import ForbiddenError, UnauthorizedError
from dynwork.rights import LOCAL_OWNER, Key, Right
from dynwork.security import bearer, key_of, require_own_site

LOCAL = Key(LOCAL_OWNER, "")
"""Who calls where there are no keys."""


class KeyGuard(SecurityBase):
    """Lets a request pass if it shows a key that has the right, and notes the key.

    Without keys every request is ``local``'s, but no web page of another site may send one.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)
        self.model = HTTPBearer(description="A key from `DYNWORK_API_KEYS`. Without keys set, nothing is needed.")
        self.scheme_name = "key"

    def needs(self, right: Right) -> Any:
        """Return the dependency of a route that needs ``right``."""
        return Security(self, scopes=[right.value])

    async def __call__(self, request: Request, scopes: SecurityScopes) -> None:
        """Check the key. Raises ``UnauthorizedError``, ``ForbiddenError``, ``ForeignSiteError``."""
        request.state.key = key = self._key(request)
        request.state.owner = key.owner
        for scope in scopes.scopes:
            if not key.allows(Right(scope)):
                raise ForbiddenError(f"this key may not do that: it needs the right {scope!r}")

    def page(self, request: Request) -> None:
        """Check the key for a page that is not open: where there are no keys, nobody sees it. Raises the same."""
        if not self._keys:
            raise UnauthorizedError(
                "this page is closed: set DYNWORK_API_KEYS and show a key, or DYNWORK_OPEN_PAGES=true"
            )
        key_of(bearer(request), self._keys)

    def _key(self, request: Request) -> Key:
        if self._keys:
            return key_of(bearer(request), self._keys)
        require_own_site(request)
        return LOCAL


def owner(request: Request) -> str:
    """Return whose request it is, as the guard has noted it: what it submits is theirs."""
    noted: Key = request.state.key
    return noted.owner


def holder(request: Request) -> Hashable:
    """Return to whom it is put down what the request takes up here: its owner, or, without keys, its connection."""
    noted: Key = request.state.key
    return request.client if noted is LOCAL else noted.owner


def seen_by(request: Request) -> dict[str, str | int]:
    """Return the parameter that bounds what the request sees to its owner's jobs; an admin's sees everybody's."""
    noted: Key = request.state.key
    return {} if Right.ADMIN in noted.rights else {"owner": noted.owner}
