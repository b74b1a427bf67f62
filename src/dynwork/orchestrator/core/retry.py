"""When to try again, and when to give up.

Exponential backoff with equal jitter: half of the delay is certain, half is drawn, so that jobs which failed together
do not come back together (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

from dataclasses import dataclass

from dynwork.orchestrator.core.job import Instant


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a job may fail or be lost, and how long it waits between failures (seconds)."""

    attempts_max: int = 5
    losses_max: int = 50
    backoff_s: float = 1.0
    backoff_s_max: float = 60.0


def delay_s(policy: RetryPolicy, attempt: int, jitter: float) -> float:
    """Return the seconds to wait after failure number ``attempt`` (1 is the first); ``jitter`` is drawn from [0, 1)."""
    if attempt < 1 or not 0 <= jitter < 1:
        raise ValueError(f"attempt {attempt} must be at least 1 and jitter {jitter} in [0, 1)")
    doublings = min(attempt - 1, 62)  # beyond that the cap rules anyway, and floats stay finite
    ceiling = min(policy.backoff_s * 2.0**doublings, policy.backoff_s_max)
    return ceiling * (0.5 + jitter / 2)


def not_before(policy: RetryPolicy, attempt: int, now: Instant, jitter: float) -> Instant:
    """Return the time before which the job must not be given out again."""
    return now + delay_s(policy, attempt, jitter)
