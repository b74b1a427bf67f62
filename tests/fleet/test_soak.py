"""Days of the fleet on EC2 in virtual time; ``make soak`` lives through more of them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator

import pytest
import structlog

from dynwork.testing.fleet_soak import Soak

SEEDS = int(os.environ.get("DYNWORK_TEST_SEEDS", "1"))
HOURS = float(os.environ.get("DYNWORK_TEST_HOURS", "24"))
pytestmark = [pytest.mark.thorough, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """A day has tens of thousands of lines."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_a_day_of_load_and_mishaps_leaves_no_machine_behind_and_never_too_many(
    seed: int, tell: Callable[[str], None]
) -> None:
    soak = Soak(seed)
    await soak.live(HOURS)
    tell(f"{HOURS:g} hours, seed {seed}: {', '.join(f'{count} {what}' for what, count in soak.counts.items())}")
    assert soak.counts["mishaps"] > 0
    assert soak.counts["leaders replaced"] > 0


async def test_the_same_seed_is_the_same_day() -> None:
    days = [Soak(7), Soak(7)]
    for day in days:
        await day.live(1)
    assert days[0].counts == days[1].counts
    assert [box.parameters for box in days[0].cloud.boxes.values()] == [
        box.parameters for box in days[1].cloud.boxes.values()
    ]
