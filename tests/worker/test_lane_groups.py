"""Real lane processes and threads: exact, replaced when they die, never outliving their worker."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynwork.kinds import Kind
from dynwork.kinds.sha512_chain import KIND, Sha512Chain
from dynwork.settings import child_environment
from dynwork.testing import kinds as test_kinds
from dynwork.testing.kinds import straight
from dynwork.testing.waiting import wait_until
from dynwork.worker import niceness, slices
from dynwork.worker.lane_groups import LaneGroup, ProcessLanes, ThreadLanes
from dynwork.worker.slices import Batch, WorkError

ONE_STEP = [bytes(64)], [1]


@pytest.fixture
def overrun_s_max() -> float:
    return 0.5


async def run(lanes: LaneGroup, batch: Batch, seconds: Sequence[float]) -> list[bytes]:
    """Run a batch to its end in slices of the given lengths, over and over."""
    states, remaining, turn = batch.states, batch.remaining, 0
    while any(remaining):
        made = await lanes.advance(KIND, Batch(batch.kind, states, remaining), seconds[turn % len(seconds)])
        states, remaining = made.states, [left - steps for left, steps in zip(remaining, made.steps, strict=True)]
        turn += 1
    return states


def test_mixed_chains_cut_anywhere_give_what_hashlib_gives() -> None:
    slices_s = st.lists(st.sampled_from([0.0, 0.001, 0.05]), min_size=1, max_size=4)
    counts = st.lists(st.integers(0, 6000), min_size=1, max_size=12)
    with asyncio.Runner() as runner:
        lanes = ProcessLanes(child_environment())

        @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(counts, slices_s)
        def check(remaining: list[int], seconds: list[float]) -> None:
            states = [bytes([index]) * 64 for index in range(len(remaining))]
            ended = runner.run(run(lanes, Batch(KIND.name, states, remaining), seconds))
            assert ended == [straight(state, steps) for state, steps in zip(states, remaining, strict=True)]

        check()
        runner.run(lanes.close())


async def test_an_error_of_the_kind_leaves_the_lane_alive(process: ProcessLanes, deaths: list[str]) -> None:
    with pytest.raises(WorkError, match="RuntimeError: this kind always raises") as caught:
        await process.advance(test_kinds.RAISER, Batch("raiser", *ONE_STEP), 0.05)
    assert caught.value.code == "kind_error"
    pid = process.pid
    assert await run(process, Batch(KIND.name, *ONE_STEP), [0.05]) == [straight(bytes(64), 1)]
    assert (process.pid, deaths) == (pid, [])


async def test_a_lane_that_dies_is_an_error_of_the_work_and_is_replaced(
    process: ProcessLanes, deaths: list[str]
) -> None:
    with pytest.raises(WorkError, match="signal 9") as caught:
        await process.advance(test_kinds.KILLER, Batch("killer", *ONE_STEP), 0.05)
    assert caught.value.code == "lane_died"
    assert deaths == ["died"]
    assert await run(process, Batch(KIND.name, *ONE_STEP), [0.05]) == [straight(bytes(64), 1)]


async def test_a_lane_that_hangs_is_ended(process: ProcessLanes, deaths: list[str]) -> None:
    with pytest.raises(WorkError, match="no answer in time") as caught:
        await process.advance(test_kinds.STUCK, Batch("stuck", *ONE_STEP), 0.05)
    assert caught.value.code == "lane_died"
    assert deaths == ["died"]


async def test_a_lane_that_died_idle_is_replaced_and_nobody_is_blamed(process: ProcessLanes, deaths: list[str]) -> None:
    await run(process, Batch(KIND.name, *ONE_STEP), [0.05])
    assert process.pid is not None
    child = psutil.Process(process.pid)
    child.kill()
    assert process._process is not None
    await process._process.wait()
    await run(process, Batch(KIND.name, *ONE_STEP), [0.05])
    assert process.pid != child.pid
    assert deaths == ["died"]


async def test_the_late_answer_to_a_cancelled_slice_is_never_taken_for_the_next(process: ProcessLanes) -> None:
    await run(process, Batch(KIND.name, *ONE_STEP), [0.05])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await process.advance(KIND, Batch(KIND.name, [b"slow" * 16], [10**12]), 0.1)
    assert await run(process, Batch(KIND.name, *ONE_STEP), [0.05]) == [straight(bytes(64), 1)]


async def test_closing_ends_the_process(process: ProcessLanes) -> None:
    await run(process, Batch(KIND.name, *ONE_STEP), [0.05])
    assert process.pid is not None
    child = psutil.Process(process.pid)
    await process.close()
    await process.close()
    assert not child.is_running()


async def test_a_lane_ignores_what_a_terminal_sends_to_the_group(process: ProcessLanes) -> None:
    await run(process, Batch(KIND.name, *ONE_STEP), [0.05])
    pid = process.pid
    assert pid is not None
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    await run(process, Batch(KIND.name, *ONE_STEP), [0.05])
    assert process.pid == pid


PARENT = """
import asyncio, sys
from dynwork.kinds import named
from dynwork.settings import child_environment
from dynwork.worker.lane_groups import ProcessLanes
from dynwork.worker.slices import Batch

async def main():
    lanes = ProcessLanes(child_environment())
    await lanes.advance(named("sha512-chain"), Batch("sha512-chain", [bytes(64)], [1]), 0.05)
    print(lanes.pid, flush=True)
    await lanes.advance(named(sys.argv[1]), Batch(sys.argv[1], [bytes(64)], [10**12]), float(sys.argv[2]))
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize(("kind", "seconds"), [("sha512-chain", "0.05"), ("sha512-chain", "1000"), ("stuck", "1000")])
def test_a_lane_ends_with_its_worker_even_one_killed(kind: str, seconds: str, environment: dict[str, str]) -> None:
    """Idle it sees the end of its pipe; in the midst of a slice, or hung, the kernel's signal reaches it."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT, kind, seconds], stdout=subprocess.PIPE, env=environment)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "the lane ends", 10.0)


def test_without_the_kernels_help_the_end_of_the_pipe_ends_a_lane() -> None:
    lane = subprocess.Popen(
        [sys.executable, "-m", "dynwork.worker.lane_process"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    lane.communicate(b"", timeout=10)
    assert lane.returncode == 0


class InThreads(Sha512Chain):
    """The twin, said to release the interpreter; it remembers which threads it ran in."""

    def __init__(self) -> None:
        super().__init__()
        self.releases_gil = True
        self.threads: set[int] = set()

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> tuple[list[bytes], list[int]]:
        self.threads.add(threading.get_ident())
        return super().advance(states, remaining, max_steps, max_seconds)


@pytest.fixture
def thread() -> Iterator[ThreadLanes]:
    lanes = ThreadLanes()
    yield lanes
    asyncio.run(lanes.close())


def test_lanes_in_a_thread_are_exact_and_leave_the_event_loop_alone(thread: ThreadLanes) -> None:
    kind = InThreads()

    async def advance() -> slices.Slice:
        as_kind: Kind = kind
        return await thread.advance(as_kind, Batch(kind.name, [bytes(64)], [5000]), 10.0)

    assert asyncio.run(advance()).states == [straight(bytes(64), 5000)]
    assert threading.get_ident() not in kind.threads


class Nice(Sha512Chain):
    """Its chains' next state says how nice the thread is that advanced them."""

    def advance(
        self, states: Sequence[bytes], remaining: Sequence[int], max_steps: int, max_seconds: float
    ) -> tuple[list[bytes], list[int]]:
        return [bytes([os.getpriority(os.PRIO_PROCESS, 0)])], [1]


def nicer(nice: int) -> int:
    """How nice a lane of such a worker is; elsewhere than on Linux no thread has a niceness of its own."""
    return min(nice + niceness.NICE, 19) if sys.platform == "linux" else nice  # there is nothing nicer than 19


def test_lanes_give_way_to_everything_else(thread: ThreadLanes) -> None:
    async def advance() -> slices.Slice:
        return await thread.advance(Nice(), Batch("nice", *ONE_STEP), 10.0)

    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert asyncio.run(advance()).states == [bytes([nicer(own)])]
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


async def test_lane_processes_give_way_likewise(process: ProcessLanes) -> None:
    await run(process, Batch(KIND.name, *ONE_STEP), [0.05])
    assert psutil.Process(process.pid).nice() == nicer(psutil.Process().nice())


async def test_an_error_in_a_thread_is_an_error_of_the_work() -> None:
    lanes = ThreadLanes()
    with pytest.raises(WorkError, match="always raises"):
        await lanes.advance(test_kinds.RAISER, Batch("raiser", *ONE_STEP), 0.05)
    await lanes.close()
