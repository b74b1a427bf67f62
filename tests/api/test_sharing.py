"""Equal reads share calls, and nobody is told what was so before they asked."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest

from dynwork import errors
from dynwork.api.sharing import Sharing

Call = asyncio.Future[int]


class FarEnd:
    """Calls that are answered by the test, one at a time."""

    def __init__(self) -> None:
        self.calls: deque[Call] = deque()
        self.begun = 0
        self.sharing = Sharing[int]()

    async def call(self) -> int:
        self.begun += 1
        self.calls.append(asyncio.Future())
        return await self.calls[-1]

    def ask(self, count: int, key: str = "key") -> list[asyncio.Task[int]]:
        loop = asyncio.get_running_loop()
        return [loop.create_task(self.sharing.read(key, self.call)) for _ in range(count)]


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_those_who_come_while_a_call_is_under_way_share_the_next_one() -> None:
    far = FarEnd()
    (first,) = far.ask(1)
    await turns()
    others = far.ask(1000)
    await turns()
    assert far.begun == 1
    far.calls.popleft().set_result(1)
    assert await first == 1
    await turns()
    far.calls.popleft().set_result(2)
    assert {await other for other in others} == {2}, "call 1 had begun before they asked"
    assert far.begun == 2


async def test_those_who_ask_at_the_same_moment_share_one_call() -> None:
    far = FarEnd()
    askers = far.ask(100)
    await turns()
    far.calls.popleft().set_result(1)
    await turns()
    far.calls.popleft().set_result(2)
    assert [await asker for asker in askers] == [1] + [2] * 99
    assert far.begun == 2


async def test_who_comes_after_the_answer_gets_a_call_of_its_own() -> None:
    far = FarEnd()
    for number in (1, 2):
        (asker,) = far.ask(1)
        await turns()
        far.calls.popleft().set_result(number)
        assert await asker == number


async def test_different_reads_do_not_wait_for_each_other() -> None:
    far = FarEnd()
    one, two = (*far.ask(1, "one"), *far.ask(1, "two"))
    await turns()
    assert far.begun == 2
    far.calls.pop().set_result(2)
    assert await two == 2
    far.calls.pop().set_result(1)
    assert await one == 1


async def test_a_failure_is_shared_too() -> None:
    far = FarEnd()
    (first, *others) = far.ask(3)
    await turns()
    far.calls.popleft().set_exception(errors.NoOrchestratorError("none"))
    await turns()
    far.calls.popleft().set_exception(errors.UnavailableError("busy"))
    with pytest.raises(errors.NoOrchestratorError):
        await first
    for other in others:
        with pytest.raises(errors.UnavailableError):
            await other
    assert far.begun == 2


async def test_when_the_caller_goes_the_next_in_line_calls() -> None:
    far = FarEnd()
    caller, second, third = far.ask(3)
    await turns()
    caller.cancel()
    await turns()
    assert far.calls.popleft().cancelled()
    (late,) = far.ask(1)
    far.calls.popleft().set_result(2)
    assert [await second, await third] == [2, 2]
    await turns()
    far.calls.popleft().set_result(3)
    assert await late == 3


async def test_nothing_is_kept_once_nobody_asks() -> None:
    far = FarEnd()
    asked = far.ask(2)
    await turns()
    for task in asked:
        task.cancel()
    await asyncio.wait(asked)
    assert far.sharing._readings == {}
