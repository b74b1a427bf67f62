"""A ledger of what was promised: it knows only public answers, and holds the cluster to them.

It submits through any API until one acknowledges (with an idempotency key, so that repeating is harmless), notes the id
and what the answer must be, follows the results feed with a cursor, and at the end demands for every id exactly one
terminal entry, with the right hash.

    with Ledger(cluster.api_urls) as ledger:
        ledger.submit(b"...", iterations=1000)
        ledger.await_all()                  # every acknowledged id was answered once, rightly
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Self

from dynwork.ids import new_id
from dynwork.testing.feed import Apis, Feed
from dynwork.testing.kinds import straight
from dynwork.testing.waiting import wait_until
from dynwork.wire import JobView, ResultView

ANSWER_S = 30.0


def chain(buffer: bytes, iterations: int) -> str:
    """Return what ``sha512-chain`` must answer, as hex."""
    return straight(buffer, iterations).hex()


@dataclass(slots=True)
class Entry:
    """What was promised about one job, and what came of it. ``expected`` computes the right hash, ``None`` any."""

    state: str
    expected: Callable[[], str] | None
    answers: list[ResultView] = field(default_factory=list)


class Ledger:
    """Not for use from several threads: give each thread its own."""

    def __init__(self, urls: Sequence[str], api_key: str | None = None) -> None:
        self._apis = Apis(urls, api_key)
        self.feed = Feed(self._apis)
        self._unknown: dict[str, list[ResultView]] = {}
        self.entries: dict[str, Entry] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of connections."""
        self._apis.close()

    def submit(self, buffer: bytes, iterations: int, **params: str | int) -> str:
        """Submit until it is acknowledged; note the right hash of the built-in kind. Returns the job's id."""
        return self.submit_as(buffer, iterations, "succeeded", partial(chain, buffer, iterations), **params)

    def submit_as(
        self, buffer: bytes, iterations: int, state: str, expected: Callable[[], str] | None, **params: str | int
    ) -> str:
        """Submit until it is acknowledged; note in which ``state`` it must end, and with which hash."""
        key = new_id()
        asked = {"iterations": iterations, **params}
        what = "an API acknowledges the job"
        job_id = wait_until(lambda: self._apis.enqueue(buffer, asked, key), what, ANSWER_S)
        self.note(job_id, state, expected)
        return job_id

    def note(self, job_id: str, state: str, expected: Callable[[], str] | None) -> None:
        """Note what an acknowledged job must come to; the ledger's own submissions are noted already."""
        assert job_id not in self.entries, f"two jobs were given the id {job_id}"
        self.entries[job_id] = Entry(state, expected, self._unknown.pop(job_id, []))

    def follow(self) -> int:
        """Read the feed from where it was left; return how many entries were new. No API up: nothing is read."""
        found = self.feed.follow()
        for result in found:
            entry = self.entries.get(result.job_id)
            answers = entry.answers if entry else self._unknown.setdefault(result.job_id, [])
            answers.append(result)
        return len(found)

    @property
    def open(self) -> list[str]:
        """The ids that have not been answered as far as the feed was followed."""
        return [job_id for job_id, entry in self.entries.items() if not entry.answers]

    def await_all(self, timeout_s: float = 120.0) -> None:
        """Follow the feed until every id is answered, then :meth:`check`."""

        def done() -> bool:
            self.follow()
            return not self.open

        wait_until(done, "an answer for every acknowledged job", timeout_s)
        self.check()

    def check(self, *, others: bool = False) -> None:
        """Assert that every id was answered exactly once, rightly, and that nothing else was.

        ``others``: jobs that were acknowledged to somebody else may be answered as well.
        """
        self.follow()
        assert not self.open, f"{len(self.open)} acknowledged jobs have no answer: {self.open[:5]}"
        assert others or not self._unknown, f"the feed has jobs that were never acknowledged: {list(self._unknown)[:5]}"
        for job_id, entry in self.entries.items():
            assert len(entry.answers) == 1, f"{job_id} was answered {len(entry.answers)} times: {entry.answers}"
            answer = entry.answers[0]
            assert answer.state == entry.state, f"{job_id}: {answer}"
            if entry.expected is not None:
                assert answer.hash == entry.expected(), f"{job_id} has a wrong hash"

    def job(self, job_id: str) -> JobView:
        """``GET /jobs/{id}`` from whichever API answers."""

        def answer() -> JobView | None:
            reply = self._apis.get(f"/jobs/{job_id}")
            return JobView.model_validate_json(reply.content) if reply is not None else None

        return wait_until(answer, f"an answer to GET /jobs/{job_id}", ANSWER_S)
