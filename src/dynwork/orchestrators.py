"""Talking to orchestrators: which one to ask, and what to do when it does not answer. Used by the API and by workers.

Every command may safely arrive twice, so a call that failed is simply made again at the next orchestrator. Addresses
given at the start are only seeds: every reply names the living ones, and those come first. One orchestrator, drawn at
random, is preferred for a while and then drawn anew: callers spread over all, and find their way back to one that
recovered. One that failed is set aside for a time that doubles as it fails again (jittered), and is asked meanwhile
only if all others fail too; after that time one call tries it, and the rest follow once that one was answered. Calls
that wait for one that failed another do not wait much longer: a parked ask does not sit out its time with the dead.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import httpx
import structlog
from pydantic import SecretStr, ValidationError

from dynwork import errors, logs
from dynwork.clock import Clock
from dynwork.wire import ItemError, Problem, Reply, Wire

log = logs.get("dynwork.orchestrators")

REST_S = 0.25
"""How long an orchestrator is set aside after its first failure, seconds; doubling."""
REST_S_MAX = 5.0
PREFER_S = 30.0
"""How long one orchestrator is preferred before it is drawn anew, seconds."""
CONNECT_S_MAX = 1.5
"""Longest that connecting may take, seconds: an address that swallows packets does not cost a whole long-poll."""
LINGER_S = 1.5
"""How long a call may still wait for an orchestrator that has failed another call meanwhile, seconds."""
LIVING_MAX = 64
"""Orchestrators remembered beside the seeds."""

ReplyT = TypeVar("ReplyT", bound=Reply)

_NOT_THE_CALLERS = (errors.UnauthorizedError, errors.ForeignSiteError, errors.ClientGoneError)
"""What an orchestrator holds against this role must not be held against this role's own caller."""
_BY_CODE = {code: leaf for code, leaf in errors.BY_CODE.items() if leaf not in _NOT_THE_CALLERS}


@dataclass(slots=True)
class _Peer:
    """How one orchestrator did lately. ``waiting``: the bounds of the calls that are under way to it."""

    failures: int = 0
    rest_until: float = 0.0
    why: str = ""
    waiting: set[asyncio.Timeout] = field(default_factory=set)

    def is_ready(self, now: float) -> bool:
        """Say whether nothing is wrong with it, or its rest is over and no other call tries it just now."""
        return not self.failures or (self.rest_until <= now and not self.waiting)

    def hurry(self) -> None:
        """Let the calls that are under way wait ``LINGER_S`` more at most."""
        deadline = asyncio.get_running_loop().time() + LINGER_S
        for bound in self.waiting:
            until = bound.when()
            if until is not None and until > deadline:
                bound.reschedule(deadline)


class Orchestrators:
    """The orchestrators this process knows. Safe for concurrent calls in one event loop, not for several threads."""

    def __init__(
        self,
        seeds: Sequence[str],
        http: httpx.AsyncClient,
        token: SecretStr | None,
        clock: Clock,
        uniform: Callable[[], float],
    ) -> None:
        """``uniform`` draws from [0, 1): it spreads callers over orchestrators and returns over time."""
        self._seeds = [url.rstrip("/") for url in seeds]
        self._living: list[str] = []
        self._http = http
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token.get_secret_value()}"
        self._clock = clock
        self._uniform = uniform
        self._peers = {url: _Peer() for url in self._seeds}
        self._preferred: str | None = None
        self._prefer_until = 0.0

    @property
    def troubles(self) -> list[str]:
        """What is wrong with those that did not answer, each reason once, without their addresses."""
        return sorted({peer.why for peer in self._peers.values() if peer.failures})

    async def call(
        self,
        method: str,
        path: str,
        reply: type[ReplyT],
        *,
        body: Wire | None = None,
        params: Mapping[str, str | int] | None = None,
        timeout_s: float,
    ) -> ReplyT:
        """Ask one orchestrator after the other until one answers; ``timeout_s`` is the bound for each, all in all.

        Raises the typed refusal if one refuses (a 4xx with a code of dynwork's), ``NoOrchestratorError`` after all were
        tried. A 5xx, a refused token, a timeout, a broken connection or a reply that makes no sense are no answer.
        """
        content = body.model_dump_json() if body is not None else None
        headers = {**self._headers, **_request_id()}
        order = self._order()
        for url in order:
            try:
                async with self._bounded(url, timeout_s):
                    answer = await self._http.request(
                        method,
                        url + path,
                        params=params,
                        content=content,
                        headers=headers,
                        timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, CONNECT_S_MAX)),
                    )
                understood = self._understand(url, answer, reply)
            except errors.QueueFullError:
                raise
            except (httpx.HTTPError, httpx.InvalidURL, OSError, ValidationError, errors.UnavailableError) as error:
                why = error.detail if isinstance(error, errors.UnavailableError) else type(error).__name__
                self._failed(url, path, why)
            else:
                self._answered(url, understood.orchestrators)
                return understood
        raise errors.NoOrchestratorError(
            f"none of {len(order)} orchestrators answered; what was sent may have taken effect: repeat it as it was",
            retry_after_s=1,
        )

    def _understand(self, url: str, answer: httpx.Response, reply: type[ReplyT]) -> ReplyT:
        if answer.is_success:
            return reply.model_validate_json(answer.content)
        if answer.status_code in (401, 403):
            log.error(
                "orchestrator_refuses_token",
                url=url,
                help="give this role and the orchestrator the same DYNWORK_API_TOKEN, or DYNWORK_WORKER_TOKEN",
            )
            raise errors.UnavailableError("it refuses this role's token")
        try:
            problem = Problem.model_validate_json(answer.content)
        except ValidationError:
            raise errors.UnavailableError(f"status {answer.status_code}") from None
        if not answer.is_client_error or problem.code not in _BY_CODE:
            raise errors.UnavailableError(f"status {answer.status_code} {problem.code}")
        self._answered(url, ())
        retry_after = answer.headers.get("Retry-After", "")
        raise error_of(problem, retry_after_s=float(retry_after) if retry_after.isdigit() else None)

    @contextlib.asynccontextmanager
    async def _bounded(self, url: str, timeout_s: float) -> AsyncIterator[None]:
        """Bound one call, and let it be seen that it is under way."""
        waiting = self._peers.get(url, _Peer()).waiting
        async with asyncio.timeout(timeout_s) as bound:
            waiting.add(bound)
            try:
                yield
            finally:
                waiting.remove(bound)

    def _order(self) -> list[str]:
        """Return whom to ask: the preferred one, the other named ones in a rotation, other seeds, those set aside."""
        now = self._clock.monotonic()
        ready = [url for url, peer in self._peers.items() if peer.is_ready(now)]
        named = [url for url in ready if url in self._living]
        others = [url for url in ready if url not in self._living]
        first, second = (named, others) if named else (others, [])
        if self._preferred not in first or self._prefer_until <= now:
            self._preferred = first[int(self._uniform() * len(first))] if first else None
            self._prefer_until = now + PREFER_S * (0.5 + self._uniform() / 2)
        start = first.index(self._preferred) if self._preferred is not None else 0
        aside = sorted(self._peers.keys() - set(ready), key=lambda url: self._peers[url].rest_until)
        return [*first[start:], *first[:start], *second, *aside]

    def _answered(self, url: str, living: Sequence[str]) -> None:
        peer = self._peers.get(url)
        if peer is not None and peer.failures:
            peer.failures = 0
            log.info("orchestrator_recovered", url=url)
        named = [item.rstrip("/") for item in living[:LIVING_MAX] if item.startswith(("http://", "https://"))]
        if named and named != self._living:
            self._living = named
            self._peers = {known: self._peers.get(known) or _Peer() for known in [*named, *self._seeds]}

    def _failed(self, url: str, path: str, why: str) -> None:
        now = self._clock.monotonic()
        peer = self._peers.get(url)
        if peer is None:
            return  # nobody names it any more
        peer.why = why
        if peer.failures and peer.rest_until > now:
            return  # calls that were under way together are one failure, told once
        rest_s = min(REST_S * 2 ** min(peer.failures, 16), REST_S_MAX) * (0.5 + self._uniform() / 2)
        peer.failures += 1
        peer.rest_until = now + rest_s
        peer.hurry()
        log.warning("orchestrator_failed", url=url, path=path, error=why, failures=peer.failures)


def _request_id() -> dict[str, str]:
    """Let the orchestrator's log lines name the request that this call is made for, if it is made for one."""
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    return {"X-Request-ID": str(request_id)} if request_id else {}


def error_of(told: Problem | ItemError, retry_after_s: float | None = None) -> errors.DynworkError:
    """Return the typed error that an orchestrator told; ``UnavailableError`` for a code that means nothing here."""
    error = None
    if told.code in _BY_CODE:
        fields = told.errors if isinstance(told, Problem) else None
        error = errors.of_code(told.code, told.detail, fields=fields, retry_after_s=retry_after_s)
    return error or errors.UnavailableError(f"{told.code}: {told.detail}")
