"""Stories about jobs and workers, told in lines that a store is held to.

A story is a text file: one act a line, at virtual time; ``->`` says what must come of it; ``#`` begins a comment.

    submit j1                        submit j2 priority=9 steps=500 owner=bob key=k -> key_reused
    lease w1 -> j1#1                 what w1 is given; it lists nothing as held
    lease w1/2 j1#1 -> nothing       the second incarnation of w1 lists j1#1; unreported=j2#1, kinds=…, instance=i1
    advance 16s
    heartbeat w1 j1#1@500 -> ok      or: stale j1 · cancelled j1 · again j1#1 · drain (several, with commas)
    complete w1 j1#1 -> stale        likewise fail, release; without ``->`` they must be accepted
    expire -> 1                      jobs that went back to the queue or ended; likewise: gone w1
    cancel j1 -> cancelled           state j1 -> queued        done j1 -> 500        attempts j1 -> 1
    requeue j1 j2 -> j2              j2 takes the place of j1, which is dead; the name of the job that does
    feed -> j1 j2                    since the last time it was read
    launch i1                        drain i1 -> yes, or no    event i1 noticed, or gone
    retire 60s -> 2                  jobs that ended longer ago are deleted
    restart                          the store is closed and opened again

Names are those of :mod:`dynwork.testing.store_driver`. A completion without ``@`` is at the job's end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from dynwork.errors import DynworkError
from dynwork.orchestrator.core.instance import Drained, Event, Gone, Launched, intent
from dynwork.orchestrator.core.job import Job
from dynwork.orchestrator.store.commands import Grant, Pulse
from dynwork.orchestrator.store.port import Store
from dynwork.testing.store_driver import OWNER, STEPS, StoreDriver, lease_names, name_of, submission

FLEET_MAX = 100
NEWS: dict[str, Event] = {"noticed": Drained("notice"), "gone": Gone("gone")}
EXPECTED_WITHOUT_SAYING = {
    "submit": "accepted",
    "heartbeat": "ok",
    "complete": "accepted",
    "fail": "accepted",
    "release": "accepted",
    "cancel": "cancelled",
}


class StoryError(AssertionError):
    """The store did not do as the story tells, or the line is not understood. Names file and line."""


@dataclass(frozen=True, slots=True)
class Line:
    """``verb words… name=value… -> expected``."""

    verb: str
    words: tuple[str, ...]
    options: dict[str, str]
    expected: str | None

    @staticmethod
    def read(text: str) -> Line | None:
        """Read a line; ``None`` if there is nothing on it."""
        told, arrow, expected = text.partition("->")
        parts = told.split()
        if not parts:
            return None
        options = dict(part.split("=", 1) for part in parts if "=" in part)
        words = tuple(part for part in parts[1:] if "=" not in part)
        return Line(parts[0], words, options, " ".join(expected.split()) if arrow else None)


class Story:
    """Plays the lines of one story on a store."""

    def __init__(self, store: Store, restart: Callable[[Store], Awaitable[Store]]) -> None:
        self._drive = StoreDriver(store)
        self._restarted = restart
        self._steps: dict[str, int] = {}
        self._cursors: dict[str, int] = {}

    async def play(self, file: str, lines: Iterable[str]) -> None:
        """Play the lines of ``file``. Raises :class:`StoryError` at the first that does not come true."""
        for number, text in enumerate(lines, start=1):
            line = Line.read(_without_comment(text))
            if line is None:
                continue
            act = getattr(self, f"_act_{line.verb}", None)
            expected = line.expected or EXPECTED_WITHOUT_SAYING.get(line.verb)
            try:
                if act is None:
                    raise ValueError(f"there is no act {line.verb!r}")
                answer = await act(line)
            except (AssertionError, ValueError, TypeError, LookupError) as error:
                raise StoryError(f"{file}:{number}: {text.strip()!r}: {error}") from error
            if expected is not None and answer != expected:
                raise StoryError(f"{file}:{number}: {text.strip()!r}: expected {expected!r}, it was {answer!r}")

    # -- jobs
    async def _act_submit(self, line: Line) -> str:
        (name,) = line.words
        self._steps.setdefault(name, int(line.options.get("steps", STEPS)))
        one = submission(
            name,
            owner=line.options.get("owner", OWNER),
            key=line.options.get("key"),
            steps=int(line.options.get("steps", STEPS)),
            priority=int(line.options.get("priority", 5)),
        )
        answer = await self._drive.try_submit(one)
        if isinstance(answer, DynworkError):
            return answer.code
        return "accepted" if name_of(answer) == name else name_of(answer)

    async def _act_cancel(self, line: Line) -> str:
        (name,) = line.words
        answer = await self._drive.cancel(name, line.options.get("owner", OWNER))
        return answer.state.value if isinstance(answer, Job) else answer.code

    async def _act_requeue(self, line: Line) -> str:
        name, new = line.words
        self._steps.setdefault(new, self._steps[name])
        answer = await self._drive.requeue(name, new, line.options.get("owner", OWNER))
        return name_of(answer) if isinstance(answer, Job) else answer.code

    async def _act_state(self, line: Line) -> str:
        (name,) = line.words
        job = await self._drive.job(name, line.options.get("owner", OWNER))
        return job.state.value if job.error is None else f"{job.state.value} {job.error.code}"

    async def _act_done(self, line: Line) -> str:
        (name,) = line.words
        return str((await self._drive.job(name)).chain.done)

    async def _act_attempts(self, line: Line) -> str:
        (name,) = line.words
        return str((await self._drive.job(name)).attempts)

    async def _act_feed(self, line: Line) -> str:
        owner = line.options.get("owner", OWNER)
        page = await self._drive.store.feed(owner, self._cursors.get(owner), 1000)
        self._cursors[owner] = page.next
        return " ".join(name_of(job) for job in page.jobs) or "nothing"

    # -- workers
    async def _act_lease(self, line: Line) -> str:
        worker, *holding = line.words
        called = {"kinds": "kinds", "unreported": "unreported", "instance": "instance_id"}
        facts: dict[str, Any] = {called[name]: value for name, value in line.options.items()}
        grant: Grant = await self._drive.ask(worker, " ".join(holding), **facts)
        return "drain" if grant.drain else lease_names(grant.grants) or "nothing"

    async def _act_heartbeat(self, line: Line) -> str:
        worker, *holding = line.words
        pulse: Pulse = await self._drive.beat(worker, " ".join(holding))
        told = {
            "cancelled": " ".join(name_of(held.job_id) for held in pulse.cancelled),
            "stale": " ".join(name_of(held.job_id) for held in pulse.stale),
            "again": lease_names(pulse.grants),
        }
        news = [f"{what} {which}" for what, which in told.items() if which]
        return ", ".join(news + ["drain"] * pulse.drain) or "ok"

    async def _act_complete(self, line: Line) -> str:
        worker, lease = line.words
        at = "" if "@" in lease else f"@{self._steps[lease.partition('#')[0]]}"
        return (await self._drive.complete(worker, lease + at)).value

    async def _act_fail(self, line: Line) -> str:
        worker, lease = line.words
        return (await self._drive.fail(worker, lease)).value

    async def _act_release(self, line: Line) -> str:
        worker, lease = line.words
        return (await self._drive.release(worker, lease)).value

    # -- time and faults
    async def _act_advance(self, line: Line) -> str:
        self._drive.advance(_seconds(line))
        return ""

    async def _act_expire(self, line: Line) -> str:
        return str((await self._drive.expire()).expired)

    async def _act_gone(self, line: Line) -> str:
        (worker,) = line.words
        return str((await self._drive.store.worker_gone(worker, self._drive.now)).expired)

    async def _act_retire(self, line: Line) -> str:
        return str(await self._drive.retire(self._drive.now - _seconds(line), 1000))

    async def _act_restart(self, line: Line) -> str:
        self._drive.store = await self._restarted(self._drive.store)
        return ""

    # -- machines
    async def _act_launch(self, line: Line) -> str:
        (name,) = line.words
        epoch, now = await self._drive.epoch(), self._drive.now
        if await self._drive.store.intend(epoch, intent(name, now), int(line.options.get("max", FLEET_MAX))) is None:
            return "refused"
        await self._drive.store.instance_event(epoch, name, Launched(f"p-{name}"), now)
        return "launched"

    async def _act_drain(self, line: Line) -> str:
        (name,) = line.words
        done = await self._drive.store.drain_if_idle(await self._drive.epoch(), name, "idle", self._drive.now)
        return "yes" if done else "no"

    async def _act_event(self, line: Line) -> str:
        name, what = line.words
        event = NEWS[what]
        known = await self._drive.store.instance_event(await self._drive.epoch(), name, event, self._drive.now)
        return "unknown" if known is None else known.state.value


def _seconds(line: Line) -> float:
    (word,) = line.words
    return float(word.removesuffix("s"))


def _without_comment(text: str) -> str:
    """Cut a comment: a ``#`` at the start or after a blank (``j1#1`` is a lease)."""
    return "" if text.lstrip().startswith("#") else text.split(" #", 1)[0]
