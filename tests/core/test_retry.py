"""Backoff: doubling, capped, half of it certain."""

from __future__ import annotations

import math

import pytest

from dynwork.orchestrator.core.retry import RetryPolicy, delay_s, not_before

POLICY = RetryPolicy(backoff_s=2.0, backoff_s_max=60.0)


@pytest.mark.parametrize(
    ("attempt", "jitter", "expected_s"),
    [(1, 0.0, 1.0), (1, 0.5, 1.5), (2, 0.0, 2.0), (3, 0.0, 4.0), (5, 0.0, 16.0), (6, 0.0, 30.0), (7, 0.0, 30.0)],
)
def test_the_delay_doubles_up_to_its_bound(attempt: int, jitter: float, expected_s: float) -> None:
    assert delay_s(POLICY, attempt, jitter) == expected_s


@pytest.mark.parametrize("attempt", [1, 2, 5, 6, 100, 10**6])
def test_half_of_the_delay_is_certain_and_half_is_drawn(attempt: int) -> None:
    certain = delay_s(POLICY, attempt, 0.0)
    drawn = delay_s(POLICY, attempt, math.nextafter(1.0, 0.0))
    assert certain < drawn <= 2 * certain
    assert drawn <= POLICY.backoff_s_max


@pytest.mark.parametrize(("attempt", "jitter"), [(0, 0.5), (-1, 0.5), (1, -0.1), (1, 1.0), (1, 2.0), (1, math.nan)])
def test_arguments_out_of_bounds_are_refused(attempt: int, jitter: float) -> None:
    with pytest.raises(ValueError, match="jitter"):
        delay_s(POLICY, attempt, jitter)


def test_the_delay_counts_from_now() -> None:
    assert not_before(POLICY, 2, 1000.0, 0.0) == 1002.0
