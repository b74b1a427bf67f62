"""What the OpenAPI document shows of each call: answers as they come. The buffer is ``hello``, the hashes are right."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from dynwork.api import cursor
from dynwork.wire import (
    Accepted,
    BulkFault,
    BulkReply,
    BulkResult,
    CompletedView,
    Fleet,
    Health,
    InstanceView,
    JobFault,
    JobsPage,
    JobView,
    ResultsPage,
    ResultView,
    Stats,
    WorkerView,
)

BUFFER = b"hello"
DIGEST = hashlib.sha512(BUFFER).hexdigest()
"""The state in which the job of :data:`BUFFER` enters, and its hash after one iteration."""
HASH = hashlib.sha512(bytes.fromhex(DIGEST)).hexdigest()
"""Its hash after two."""

JOB_ID, SECOND_ID, DEAD_ID = (f"01a20ee7-be7{digit}-7d2f-9c41-5b8e03d6a17c" for digit in "3ac")
WORKER_ID, INSTANCE_ID = "worker-01a20ed0", "01a20ed0-11c4-7b06-8f52-c0d9a7e4b318"
CREATED, STARTED, ENDED = (f"2026-11-24T18:00:00.{fraction}Z" for fraction in ("104", "137", "139"))

SUCCEEDED = JobView(
    job_id=JOB_ID,
    owner="team",
    state="succeeded",
    kind="sha512-chain",
    iterations=2,
    done=2,
    percent=100.0,
    priority=5,
    attempts=0,
    worker_id=WORKER_ID,
    created_at=CREATED,
    started_at=STARTED,
    completed_at=ENDED,
    eta_s=None,
    hash=HASH,
    error=None,
    requeued_from=None,
)
RUNNING = SUCCEEDED.model_copy(
    update={
        "job_id": SECOND_ID,
        "state": "leased",
        "iterations": 10_000_000,
        "done": 4_120_000,
        "percent": 41.2,
        "completed_at": None,
        "eta_s": 3.6,
        "hash": None,
    }
)
CANCELLED = RUNNING.model_copy(update={"state": "cancelled", "completed_at": ENDED, "eta_s": None})
FAULT = JobFault(code="worker_lost", detail=f"51 workers in a row were lost without progress, the last was {WORKER_ID}")
DEAD = CANCELLED.model_copy(update={"job_id": DEAD_ID, "state": "dead", "error": FAULT})

WORKER = WorkerView(
    worker_id=WORKER_ID,
    instance_id=INSTANCE_ID,
    pid=4711,
    host="node-7",
    state="ready",
    capacity=14_200_000.0,
    chain_speed=1_630_000.0,
    leases=1,
    lanes=16,
    path="avx512",
    started_at="2026-11-24T17:41:02.511Z",
    last_seen_at=ENDED,
)
INSTANCE = InstanceView(
    instance_id=INSTANCE_ID,
    provider_id="4711",
    state="running",
    intended_at="2026-11-24T17:41:02.187Z",
    launched_at="2026-11-24T17:41:02.203Z",
    reason=None,
)
FLEET = Fleet(
    min=1,
    max=4,
    workers=[WORKER],
    instances=[INSTANCE],
    leader="orchestrator-01a20ecf",
    decision="hold: 0.4 s of work ahead for 1 worker, target 5.0 s; want 1 of 1 to 4",
)
STATS = Stats(
    queued=0,
    leased=1,
    succeeded=2861,
    dead=1,
    cancelled=3,
    backlog_steps=5_880_000.0,
    backlog_s=0.41,
    submitted_per_s=12.4,
    completed_per_s=12.2,
    oldest_wait_s=0.0,
)
OK = Health(status="ok")


def _result(job: JobView) -> ResultView:
    return ResultView.model_validate(job, from_attributes=True)


Answer = BaseModel | Sequence[BaseModel]

ANSWERS: Mapping[str, Mapping[str, Answer]] = {
    "enqueue": {"accepted": Accepted(job_id=JOB_ID)},
    "enqueue_many": {
        "one of three refused": BulkReply(
            results=[
                BulkResult(job_id=SECOND_ID),
                BulkResult(error=BulkFault(code="invalid_input", detail="data: not base64")),
                BulkResult(job_id=JOB_ID, repeated=True),
            ]
        )
    },
    "pull_completed": {
        "one hash": [CompletedView(job_id=JOB_ID, hash=HASH, iterations=2, completed_at=ENDED)],
        "none yet": [],
    },
    "results": {
        "a page": ResultsPage(results=[_result(SUCCEEDED), _result(DEAD)], next=cursor.encode(2865)),
        "nothing new": ResultsPage(results=[], next=cursor.encode(2865)),
    },
    "jobs": {"the last page": JobsPage(jobs=[RUNNING, SUCCEEDED], next=None)},
    "job": {"running": RUNNING, "succeeded": SUCCEEDED, "dead": DEAD},
    "cancel": {"cancelled": CANCELLED},
    "requeue": {"accepted": Accepted(job_id=SECOND_ID)},
    "fleet": {"one worker": FLEET},
    "stats": {"one job runs": STATS},
    "livez": {"alive": OK},
    "readyz": {"ready": OK},
}
"""For each operation that answers in JSON, what it may answer when it succeeds, by a name for it."""


def shown(answers: Mapping[str, Answer]) -> dict[str, Any]:
    """Return ``answers`` as OpenAPI's ``examples``."""
    return {name: {"value": _plain(answer)} for name, answer in answers.items()}


def _plain(answer: Answer) -> Any:
    if isinstance(answer, BaseModel):
        return answer.model_dump(mode="json", exclude_none=isinstance(answer, BulkReply | Health))
    return [_plain(item) for item in answer]
