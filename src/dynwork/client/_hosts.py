"""Which API to ask, and how long to go on asking: rules of both clients, pure.

Calls take the APIs in turn, so that several share the load of one client. One that failed is left out for a while,
which doubles as it fails again; if all are left out, the one whose rest ends first is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dynwork.errors import UnavailableError

REST_S, REST_S_MAX = 0.25, 5.0
"""How long an API is left out after its first failure and at most, seconds; doubling."""
PAUSE_S, PAUSE_S_MAX = 0.1, 5.0
"""The pause after every API has failed once and at most, seconds; doubling."""


@dataclass(slots=True)
class _Host:
    failures: int = 0
    rest_until: float = 0.0


class Hosts:
    """The APIs that a client knows. ``now`` is monotonic seconds."""

    def __init__(self, urls: Sequence[str], uniform: Callable[[], float]) -> None:
        """``uniform`` draws from [0, 1): where a client begins, so that many clients spread."""
        self.urls = tuple(urls)
        self._hosts = {url: _Host() for url in self.urls}
        self._turn = int(uniform() * len(self.urls))

    def pick(self, now: float) -> str:
        """Return whom to ask next."""
        order = [*self.urls[self._turn :], *self.urls[: self._turn]]
        ready = [url for url in order if self._hosts[url].rest_until <= now]
        url = ready[0] if ready else min(order, key=lambda url: self._hosts[url].rest_until)
        self._turn = (self.urls.index(url) + 1) % len(self.urls)
        return url

    def failed(self, url: str, now: float) -> None:
        """Leave ``url`` out for a while."""
        host = self._hosts[url]
        if host.rest_until > now:
            return  # calls that were under way together are one failure
        host.rest_until = now + min(REST_S * 2 ** min(host.failures, 16), REST_S_MAX)
        host.failures += 1

    def answered(self, url: str) -> None:
        """Forget what ``url`` failed at."""
        self._hosts[url] = _Host()


class Patience:
    """How long one call goes on: ``patience_s`` seconds from its first failure.

    APIs that were not asked yet are asked at once; after every one has failed there is a pause that doubles, jittered,
    and is at least what the last one asked for (``Retry-After``).
    """

    def __init__(
        self, patience_s: float, hosts: int, monotonic: Callable[[], float], uniform: Callable[[], float]
    ) -> None:
        self._patience_s = patience_s
        self._hosts = hosts
        self._monotonic = monotonic
        self._uniform = uniform
        self._until: float | None = None
        self._failures = 0

    def pause_s(self, failure: UnavailableError) -> float:
        """Return how long to wait before the next attempt, seconds. Raises ``failure`` if that would be too late."""
        now = self._monotonic()
        if self._until is None:
            self._until = now + self._patience_s
        self._failures += 1
        rounds, untried = divmod(self._failures, self._hosts)
        pause_s = 0.0
        if not untried:
            backoff_s = min(PAUSE_S * 2 ** min(rounds - 1, 16), PAUSE_S_MAX) * (0.5 + self._uniform() / 2)
            pause_s = max(backoff_s, (failure.retry_after_s or 0.0) * (1 + self._uniform() / 4))
        if now + pause_s > self._until:
            raise failure
        return pause_s
