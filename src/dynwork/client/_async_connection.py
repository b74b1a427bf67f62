"""One call after the other, until an API answers. Everything a client asks goes through here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypeVar

import httpx

from dynwork.addresses import is_loopback
from dynwork.client._calls import Call
from dynwork.client._hosts import Hosts, Patience
from dynwork.client._outside import AsyncOutside
from dynwork.errors import ConfigurationError, NoAnswerError, UnavailableError

ANSWER_S, CONNECT_S = 15.0, 3.0
"""Longest that an answer may take, beyond the time that it may be parked, and that connecting may, seconds."""
CONNECTIONS_MAX = 100
"""Calls under way at the same time, at most; others wait for their turn."""

T = TypeVar("T")

log = logging.getLogger("dynwork.client")


class AsyncConnection:
    """The way to all APIs."""

    def __init__(self, urls: Sequence[str], api_key: str | None, patience_s: float, outside: AsyncOutside) -> None:
        """``patience_s``: how long a call is repeated after its first failure, seconds; 0: every API is asked once."""
        hosts = [_checked(url) for url in urls]
        if not hosts:
            raise ConfigurationError("DYNWORK_URL names no API")
        if api_key is not None and (api_key != api_key.strip() or not api_key.isprintable()):
            raise ConfigurationError("DYNWORK_API_KEY: a key has no line end, and no space around it")
        if not patience_s >= 0:
            raise ConfigurationError("DYNWORK_PATIENCE_S: a number of seconds, 0 or more")
        self._hosts = Hosts([str(url).rstrip("/") for url in hosts], outside.uniform)
        self._outside = outside
        self._patience_s = patience_s
        self._http = httpx.AsyncClient(
            transport=outside.transport,
            headers={b"Authorization": f"Bearer {api_key}".encode()} if api_key else None,
            limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
            trust_env=not all(is_loopback(url.host) for url in hosts),
            # No proxy stands before this machine itself, whatever the environment says of other addresses.
            mounts={f"all://{url.netloc.decode()}": None for url in hosts if is_loopback(url.host)},
        )

    async def aclose(self) -> None:
        """Let go of connections."""
        await self._http.aclose()

    def patience(self, hosts: int = 1) -> Patience:
        """Return the patience of one call that may be made at so many ``hosts``."""
        return Patience(self._patience_s, hosts, self._outside.monotonic, self._outside.uniform)

    async def call(self, call: Call[T]) -> T:
        """Return what the first API that has an answer says.

        Raises the refusal if it refuses, and the last failure once patience is at its end.
        """
        patience = self.patience(len(self._hosts.urls))
        while True:
            url = self._hosts.pick(self._outside.monotonic())
            try:
                reply = await self._attempt(url, call)
            except UnavailableError as failure:
                self._hosts.failed(url, self._outside.monotonic())
                pause_s = patience.pause_s(failure)
                log.warning("%s; trying again", failure)
            else:
                self._hosts.answered(url)
                return reply
            if pause_s:
                await self._outside.sleep(pause_s)

    async def _attempt(self, url: str, call: Call[T]) -> T:
        try:
            answer = await self._http.request(
                call.method,
                url + call.path,
                params=call.params,
                content=call.content,
                headers=call.headers,
                timeout=httpx.Timeout(ANSWER_S + call.wait_s, connect=CONNECT_S),
            )
        except httpx.RequestError as error:
            raise NoAnswerError(f"no answer from {url} ({type(error).__name__})") from error
        return call.understand(answer)


def _checked(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"DYNWORK_URL={url}: {error}") from None
    if parsed.userinfo:  # it would be sent in the place of the key, and told in messages
        raise ConfigurationError("DYNWORK_URL: an address holds no user and no password; the key is DYNWORK_API_KEY")
    if "?" in url or "#" in url:  # whatever is called would be part of it
        raise ConfigurationError(f"DYNWORK_URL={url}: an address ends with its path, without ? and #")
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigurationError(f"DYNWORK_URL={url}: an address begins with http:// or https:// and names a host")
    return parsed
