"""Whose request it is: the one dependency that stands in front of every route that needs a key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from dynwork.errors import UnauthorizedError
from dynwork.security import bearer, owner_of, require_own_site
from dynwork.settings import LOCAL_OWNER


class KeyGuard(SecurityBase):
    """Lets a request pass if it shows a key, and notes its owner.

    Without keys every request is ``local``'s, but no web page of another site may send one.
    """

    def __init__(self, keys: Mapping[str, Sequence[str]]) -> None:
        self._keys = {owner: tuple(secrets) for owner, secrets in keys.items()}
        self.model = HTTPBearer(description="A key from `DYNWORK_API_KEYS`. Without keys set, nothing is needed.")
        self.scheme_name = "key"

    async def __call__(self, request: Request) -> None:
        """Check the key. Raises ``UnauthorizedError``, ``ForeignSiteError``."""
        if self._keys:
            request.state.owner = owner_of(bearer(request), self._keys)
        else:
            require_own_site(request)
            request.state.owner = LOCAL_OWNER

    def page(self, request: Request) -> None:
        """Check the key for a page that is not open: where there are no keys, nobody sees it. Raises the same."""
        if not self._keys:
            raise UnauthorizedError(
                "this page is closed: set DYNWORK_API_KEYS and show a key, or DYNWORK_OPEN_PAGES=true"
            )
        owner_of(bearer(request), self._keys)


def owner(request: Request) -> str:
    """Return whose request it is, as the guard has noted it."""
    noted: str = request.state.owner
    return noted
