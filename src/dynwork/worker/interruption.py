"""What the machine says of its own end: a notice, minutes before it is taken away.

On a notice the worker hands back everything with checkpoints and takes nothing more, without waiting to be told: it
knows before anybody else. Its next heartbeat, sent at once, tells the orchestrators, which launch a successor.

EC2 tells a spot machine by its metadata service (IMDSv2: a session token first), two minutes ahead, or earlier that it
is at risk (a rebalance recommendation). Source: spot-instance-termination-notices.html and
rebalance-recommendations.html in https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/.
"""

from __future__ import annotations

import asyncio
import re
from typing import Protocol

import httpx

from dynwork import logs
from dynwork.clock import Clock
from dynwork.worker.desk import Desk

LOOK_S = 5.0
"""How often a notice is looked for, seconds; EC2 asks for every five."""
TIMEOUT_S = 2.0
"""How long the metadata service may take for one answer, seconds."""
TOKEN_S = 21_600
"""How long a session token is to serve, seconds: the longest that there is."""
IMDS_URL = "http://169.254.169.254"
"""The metadata service: of the machine itself, reached from nowhere else."""
_INTERRUPTION = "/latest/meta-data/spot/instance-action"
_REBALANCE = "/latest/meta-data/events/recommendations/rebalance"
_TOKEN = re.compile(r"[!-~]+")
"""What a header can carry: anything else would be refused before it is sent, at every look anew."""

log = logs.get("dynwork.worker.interruption")


class Notices(Protocol):
    """Where a machine hears of its end."""

    async def look(self) -> str | None:
        """Return why the machine is about to go, ``None`` if it is not. Raises ``OSError`` when that cannot be told."""
        ...


async def watch(notices: Notices, desk: Desk, clock: Clock) -> None:
    """Look for a notice, and obey it; after one there is nothing more to look for."""
    blind = False
    while True:
        try:
            async with asyncio.timeout(LOOK_S):
                notice = await notices.look()
        except (OSError, ValueError) as error:  # a TimeoutError is an OSError
            if not blind:
                log.warning("notices_cannot_be_seen", error=str(error))
            blind = True
        else:
            blind = False
            if notice is not None:
                desk.take_notice(notice)
                return
        await clock.sleep(LOOK_S)


class Ec2Notices:
    """The notices of an EC2 machine."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        """``http`` must go straight to the machine's own metadata service, without proxies."""
        self._http = http
        self._token: str | None = None

    async def look(self) -> str | None:
        """See :meth:`Notices.look`."""
        if (found := await self._read(_INTERRUPTION)) is not None:
            return f"spot interruption at {_time(found, 'time')}"
        if (found := await self._read(_REBALANCE)) is not None:
            return f"rebalance recommended at {_time(found, 'noticeTime')}"
        return None

    async def _read(self, path: str) -> httpx.Response | None:
        """Return the answer, ``None`` if there is no such thing."""
        answer = await self._get(path)
        if answer.status_code == httpx.codes.UNAUTHORIZED:  # the token has run out
            self._token = None
            answer = await self._get(path)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if not answer.is_success:
            raise OSError(f"the metadata service answered {answer.status_code}")
        return answer

    async def _get(self, path: str) -> httpx.Response:
        if self._token is None:
            headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_S)}
            answer = await self._ask("PUT", "/latest/api/token", headers)
            if not answer.is_success or not _TOKEN.fullmatch(answer.text):
                raise OSError(f"the metadata service gave no token ({answer.status_code})")
            self._token = answer.text
        return await self._ask("GET", path, {"X-aws-ec2-metadata-token": self._token})

    async def _ask(self, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
        try:
            return await self._http.request(method, IMDS_URL + path, headers=headers, timeout=TIMEOUT_S)
        except httpx.HTTPError as error:
            raise OSError(f"the metadata service does not answer ({type(error).__name__}: {error})") from error


def _time(answer: httpx.Response, field: str) -> str:
    """Return when, as the answer says it; what cannot be read is a notice all the same."""
    try:
        said = str(answer.json()[field])
    except (ValueError, KeyError, TypeError, RecursionError):
        said = ""
    return said[:24] if said.isascii() and said.isprintable() and said else "a time that it does not tell"
