"""The public face of a cluster as a patient client sees it: one API after the other is asked until one answers.

``with Apis(urls) as apis`` asks; ``Feed(apis)`` reads ``GET /results`` with a cursor, as a user's own reader would.
Neither is for use from several threads: give each thread its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import httpx

from dynwork.wire import Accepted, ResultsPage, ResultView

PAGE = 1000
TIMEOUT_S = 10.0


class Apis:
    """Every API of a cluster. A refusal raises ``httpx.HTTPStatusError``; no answer, 429 and 503 send to the next."""

    def __init__(self, urls: Sequence[str], api_key: str | None = None) -> None:
        """The first of ``urls`` is preferred."""
        self._urls = list(urls)
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.Client(timeout=TIMEOUT_S, trust_env=False, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> httpx.Response | None:
        """Return the first success; ``None`` if no API gave one."""
        return self._first("GET", path, params or {}, b"", {})

    def enqueue(self, body: bytes, params: Mapping[str, str | int], key: str) -> str | None:
        """``PUT /enqueue``: return the id that was acknowledged; ``None`` if none was: then the outcome is unknown."""
        answer = self._first("PUT", "/enqueue", params, body, {"Idempotency-Key": key})
        return Accepted.model_validate_json(answer.content).job_id if answer is not None else None

    def _first(
        self, method: str, path: str, params: Mapping[str, str | int], body: bytes, headers: Mapping[str, str]
    ) -> httpx.Response | None:
        for url in self._urls:
            with contextlib.suppress(httpx.TransportError):
                answer = self._http.request(method, url + path, params=params, content=body, headers=headers)
                if answer.status_code not in (429, 503):
                    return answer.raise_for_status()
        return None


class Feed:
    """One reader of the results feed, from its oldest entry on."""

    def __init__(self, apis: Apis, page: int = PAGE) -> None:
        """``page``: entries asked for at a time."""
        self._apis = apis
        self._page = page
        self._cursor: str | None = None
        self.seen: list[ResultView] = []
        """Everything read so far, in order."""

    def follow(self) -> list[ResultView]:
        """Read on from where it was left; return what is new. No API answers: nothing is read."""
        before = len(self.seen)
        while (page := self._next()) is not None:
            self._cursor = page.next
            self.seen.extend(page.results)
            if len(page.results) < self._page:
                break
        return self.seen[before:]

    def _next(self) -> ResultsPage | None:
        params: dict[str, str | int] = {"limit": self._page}
        if self._cursor is not None:
            params["after"] = self._cursor
        reply = self._apis.get("/results", params)
        return ResultsPage.model_validate_json(reply.content) if reply is not None else None
