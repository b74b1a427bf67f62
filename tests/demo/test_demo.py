"""The demo's own parts: its work, its waits and its picture."""

from __future__ import annotations

import hashlib
import io

import pytest
from rich.console import Console

from dynwork.demo.board import CHART_COLUMNS, Board, chart
from dynwork.demo.client import Progress, percentile
from dynwork.demo.show import MAX_WORKERS, problems
from dynwork.demo.work import BUFFERS, BYTES_MAX, BYTES_MIN, JOBS, WORK_S, Piece, by_buffer, pieces, right_hashes
from dynwork.testing.clock import FakeClock
from dynwork.wire import CompletedView


def test_the_work_takes_the_cores_the_intended_time_and_its_buffers_have_the_intended_sizes() -> None:
    work = pieces(steps_per_s=1e6, cores=2)
    assert len(work) == JOBS
    assert sum(piece.iterations for piece in work) == pytest.approx(2e6 * WORK_S, rel=0.01)
    assert all(BYTES_MIN <= piece.size <= BYTES_MAX for piece in work)
    assert len({piece.size for piece in work}) == len({piece.buffer() for piece in work}) == BUFFERS
    assert len({(piece.buffer_number, piece.iterations) for piece in work if piece.iterations > 1}) == JOBS * 9 // 10
    assert sum(piece.iterations == 1 for piece in work) == JOBS // 10


def test_a_buffer_is_the_same_wherever_it_is_made_and_no_two_are_alike() -> None:
    assert Piece(1, 1, 100, 1).buffer() == Piece(2, 1, 100, 9).buffer()
    assert Piece(1, 1, 100, 1).buffer() != Piece(1, 2, 100, 1).buffer()
    assert len(Piece(1, 1, 12345, 1).buffer()) == 12345


def test_the_right_hashes_are_the_chain_of_hashes_over_the_buffer() -> None:
    thrice, once, again = Piece(0, 3, 1000, 3), Piece(1, 3, 1000, 1), Piece(2, 3, 1000, 1)
    [group] = by_buffer([thrice, once, again])
    first = hashlib.sha512(once.buffer()).digest()
    third = hashlib.sha512(hashlib.sha512(first).digest()).digest()
    assert dict(zip(group, right_hashes(group), strict=True)) == {
        once: first.hex(), again: first.hex(), thrice: third.hex(),
    }  # fmt: skip


def test_every_piece_is_checked_with_those_that_share_its_buffer() -> None:
    work = pieces(steps_per_s=1e6, cores=2)
    groups = by_buffer(work)
    assert sorted((piece for group in groups for piece in group), key=lambda piece: piece.number) == work
    assert [len({piece.buffer() for piece in group}) for group in groups] == [1] * BUFFERS


def finished() -> tuple[Progress, dict[str, CompletedView]]:
    progress = Progress(1, accepted={"j": Piece(0, 0, 1, 1)}, ended={"j"}, workers=1, fleet=[(1.0, MAX_WORKERS)])
    return progress, {"j": CompletedView(job_id="j", hash="ab", iterations=1, completed_at="now")}


def test_a_demo_that_went_well_has_no_problems() -> None:
    assert problems(*finished(), wrong=[]) == []


def test_every_way_of_going_wrong_is_a_problem() -> None:
    progress, results = finished()
    assert problems(progress, results, wrong=["j"]) == ["the hash of j is wrong"]
    assert problems(progress, {}, wrong=[]) == ["the result of j is missing"]
    progress.ended.clear()
    assert problems(progress, results, wrong=[]) == ["the result of j is missing"]
    progress, results = finished()
    progress.total = 2
    progress.workers = 3
    progress.fleet = [(1.0, 3)]
    assert problems(progress, results, wrong=[]) == [
        "not every job was accepted",
        "the fleet did not grow to 4 workers",
        "the fleet did not go back to 1 worker",
    ]


def test_percentiles_are_nearest_ranks() -> None:
    assert percentile([], 0.5) == 0.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 3.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.95) == 4.0


def test_the_chart_shows_the_fleet_grow_and_shrink() -> None:
    samples = [(float(second), 1 if second < 10 or second > 30 else 4) for second in range(41)]
    title, four, _, _, one, _, axis = chart(samples, 4)
    assert title == "workers over time"
    assert one.count("█") == CHART_COLUMNS
    assert 0.4 < four.count("█") / CHART_COLUMNS < 0.6
    assert four.startswith("  4 │ ")
    assert axis.endswith("40 s")
    assert chart([], 4) == []


async def test_without_a_terminal_progress_is_plain_lines_now_and_then() -> None:
    output, clock = io.StringIO(), FakeClock()
    board = Board(Console(file=output, width=200), clock, 4)
    progress = Progress(10)
    with board.live(progress):
        for _ in range(8):
            await clock.advance(1)
            board.show(progress)
    lines = output.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0] == "  1.0 s  accepted 0  done 0  checked 0  workers 0  ()"
