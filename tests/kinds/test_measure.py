"""The measurement of a kind: what each turn shows is steps by time, and the medians count."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dynwork.kinds.measure import BURST_STEPS, ROUNDS, measure
from dynwork.testing.kinds import AppendSteps


class TickingClock:
    """Goes on by a millisecond whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


class FourLanes(AppendSteps):
    """Takes just its time; moves each of up to four chains on by the steps of its turn, which a disturbance doubles."""

    lanes = 4

    def __init__(self, clock: TickingClock) -> None:
        self._clock = clock
        self.turns: list[int] = []

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> tuple[list[bytes], list[int]]:
        self._clock.now += max_seconds - 0.001
        self.turns.append(len(states))
        disturbed = 2 if len(self.turns) == 1 else 1
        return list(states), [100 * disturbed] * len(states)


def test_the_three_are_measured_in_turns_and_one_that_was_disturbed_does_not_count() -> None:
    clock = TickingClock()
    kind = FourLanes(clock)
    speeds = measure(kind, 0.3, clock)
    slice_s = 0.3 / ROUNDS / 3
    assert kind.turns == [1, 4] * ROUNDS
    assert speeds.chain_speed == pytest.approx(100 / slice_s)
    assert speeds.lanes_speed == pytest.approx(400 / slice_s)
    assert speeds.loop_speed == pytest.approx(BURST_STEPS / 0.001)
    assert speeds.chain_times_loop == pytest.approx(speeds.chain_speed / speeds.loop_speed)
    assert speeds.lanes_times_loop == pytest.approx(speeds.lanes_speed / speeds.loop_speed)
