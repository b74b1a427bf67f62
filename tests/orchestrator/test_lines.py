"""The lines in front of a round: fair, bounded, and without those who have gone."""

import asyncio
from collections.abc import Sequence

import pytest

from dynwork.errors import UnavailableError
from dynwork.orchestrator.core.job import Submission
from dynwork.orchestrator.lines import Answer, Batch, Item, Lines
from dynwork.orchestrator.store.commands import Ask, Cancel
from dynwork.testing.orchestrator import ask, submission


def lines(round_max: int = 100, waiting_max: int = 1000) -> Lines:
    return Lines(round_max=round_max, waiting_max=waiting_max)


def kinds_of(batches: Sequence[Batch]) -> list[type[Item]]:
    return [type(batch.items[0]) for batch in batches]


def submit(into: Lines, first: int, count: int = 1) -> asyncio.Future[Sequence[Answer]]:
    return into.join(Submission, [submission(first + number) for number in range(count)], count)


async def test_a_flood_of_one_kind_leaves_the_others_an_equal_share() -> None:
    waiting = lines(round_max=100)
    for number in range(500):
        submit(waiting, number)
    for number in range(80):
        waiting.join(Ask, [ask(f"w{number}")], 1)
    waiting.join(Cancel, [Cancel("local", "x")], 1)
    drawn = kinds_of(waiting.draw())
    assert (drawn.count(Cancel), drawn.count(Ask), drawn.count(Submission)) == (1, 49, 50)


async def test_what_others_leave_of_a_round_is_used() -> None:
    waiting = lines(round_max=100)
    for number in range(500):
        submit(waiting, number)
    waiting.join(Ask, [ask("w")], 1)
    assert kinds_of(waiting.draw()) == [Submission] * 99 + [Ask]


async def test_a_batch_heavier_than_a_round_goes_alone_and_is_not_stuck() -> None:
    waiting = lines(round_max=10)
    submit(waiting, 0, count=30)
    submit(waiting, 30)
    assert [len(batch.items) for batch in waiting.draw()] == [30]
    assert [len(batch.items) for batch in waiting.draw()] == [1]
    assert waiting.draw() == []


async def test_a_round_is_drawn_in_the_order_in_which_it_is_carried_out() -> None:
    waiting = lines()
    waiting.join(Ask, [ask("w")], 1)
    submit(waiting, 1)
    waiting.join(Cancel, [Cancel("local", "x")], 1)
    assert kinds_of(waiting.draw()) == [Cancel, Submission, Ask]


async def test_batches_of_a_kind_keep_their_order() -> None:
    waiting = lines()
    for number in (3, 1, 2):
        submit(waiting, number)
    assert [batch.items[0] for batch in waiting.draw()] == [submission(3), submission(1), submission(2)]


async def test_whoever_has_gone_is_not_drawn_and_takes_no_share() -> None:
    waiting = lines(round_max=2)
    for number in range(4):
        answers = submit(waiting, number)
        if number < 2:
            answers.cancel()
    assert [batch.items[0] for batch in waiting.draw()] == [submission(2), submission(3)]


async def test_a_full_line_refuses_and_the_others_stay_open() -> None:
    waiting = lines(waiting_max=2)
    submit(waiting, 1)
    submit(waiting, 2)
    with pytest.raises(UnavailableError) as refusal:
        submit(waiting, 3)
    assert refusal.value.retry_after_s == 1
    waiting.join(Ask, [ask("w")], 1)
