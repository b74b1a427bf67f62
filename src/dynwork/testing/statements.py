"""The statements of the hot path, for tests of their plans."""

from __future__ import annotations

from sqlalchemy import Connection, event

from dynwork.ids import new_id
from dynwork.orchestrator.core import machine
from dynwork.orchestrator.core.job import Chain, JobState, Submission
from dynwork.orchestrator.core.worker import Pace, WorkerFacts
from dynwork.orchestrator.store import claims, leadership, listing, reading, sweeping
from dynwork.orchestrator.store.batch import Batch
from dynwork.orchestrator.store.commands import Ask, Cancel, Heartbeat, Held, Report, Requeue, Round
from dynwork.orchestrator.store.round import carry_out
from dynwork.orchestrator.store.values import Rules

Statement = tuple[str, object]
"""The text, and one row of parameters."""
NOW = 1e9


class watched:  # noqa: N801 - reads as a verb
    """Collects every statement sent to ``conn``, with its parameters."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self.statements: list[Statement] = []

    def __enter__(self) -> list[Statement]:
        event.listen(self._conn, "before_cursor_execute", self._note)
        return self.statements

    def __exit__(self, *_: object) -> None:
        event.remove(self._conn, "before_cursor_execute", self._note)

    def _note(self, _conn: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        rows = parameters if isinstance(parameters, list) else [parameters]
        self.statements.extend((statement, row) for row in rows)


def statements_of_the_hot_path(conn: Connection) -> list[Statement]:
    """Live a moment of everything that orchestrators do all the time; return what was asked of the database."""
    rules, paces = Rules(), {"sha512-chain": Pace(1e6, 1e6, 2)}
    facts, held = WorkerFacts("w1", "i1", paces, instance_id="machine"), Held(new_id(), 1)
    checkpoint = machine.Checkpointed(b"x" * 64, 2)
    submission = Submission(new_id(), "local", "k", "sha512-chain", 5, Chain(b"x" * 64, 1, 100))

    def batch() -> Batch:
        return Batch(conn, rules, NOW, "shard")

    with watched(conn) as statements:
        carry_out(
            conn,
            Round(
                reports=[Report("w1", "i1", held, machine.Completed(b"x" * 64, 100))],
                heartbeats=[Heartbeat("w1", "i1", paces, (held,), ((held, checkpoint),))],
                cancels=[Cancel("local", new_id())],
                requeues=[Requeue("local", new_id(), new_id())],
                submissions=[submission],
                asks=[Ask(facts), Ask(WorkerFacts("w2", "i2", paces, ("sha512-chain",)))],
            ),
            rules,
            NOW,
            "shard",
        )
        assert leadership.lead(conn, "me", NOW, 10.0) == 1
        sweeping.expire(batch(), 1, 100)
        sweeping.worker_gone(batch(), "w1")
        sweeping.retire(batch(), 1, NOW, 100)
        claims.next_due(batch())
        for owner in ("local", None):
            reading.job(conn, owner, submission.job_id)
            reading.newest_succeeded(conn, owner, 10)
            reading.feed(conn, owner, None, 10)
            for state in (None, *JobState):
                listing.jobs(conn, owner, state, None, 10)
        reading.tail(conn, reading.tail(conn, None, 10).next, 10)
        reading.workers(conn)
    assert len(statements) > 20
    return statements
