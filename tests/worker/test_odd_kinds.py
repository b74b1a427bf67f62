"""Lane processes under kinds that do what kinds should not: print, fork, write where the frames are."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from dynwork.kinds.sha512_chain import KIND
from dynwork.testing.kinds import straight
from dynwork.worker import frames, lane_groups
from dynwork.worker.lane_groups import ProcessLanes
from dynwork.worker.slices import Batch, WorkError

ONE_STEP = [bytes(64)], [1]


def install_kind(folder: Path, advance: str) -> str:
    """Install one more kind, the hash chain with ``advance`` as its method; return its name."""
    (folder / "odd_kind.py").write_text(
        "import os\n"
        "from dynwork.kinds.sha512_chain import Sha512Chain\n"
        "class Odd(Sha512Chain):\n"
        "    name = 'odd'\n"
        "    def advance(self, *arguments):\n"
        f"        {advance}\n"
        "        return super().advance(*arguments)\n"
        "KIND = Odd()\n"
    )
    points = folder / "dynwork_test_kinds-1.dist-info" / "entry_points.txt"
    points.write_text(points.read_text() + "odd = odd_kind:KIND\n")
    return "odd"


async def test_what_a_kind_prints_does_not_disturb_the_frames(
    process: ProcessLanes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    odd = install_kind(tmp_path, "print('hello', flush=True)")
    made = await process.advance(KIND, Batch(odd, *ONE_STEP), 0.05)
    assert made.states == [straight(bytes(64), 1)]
    assert capfd.readouterr().err == "hello\n"


async def test_a_child_that_a_kind_forked_never_answers_for_the_next_batch(
    process: ProcessLanes, tmp_path: Path
) -> None:
    odd = install_kind(tmp_path, "child = os.fork(); child and os.waitpid(child, 0)")
    for kind, state in ((odd, b"a" * 64), (KIND.name, b"b" * 64), (KIND.name, b"c" * 64)):
        made = await process.advance(KIND, Batch(kind, [state], [3]), 0.05)
        assert made.states == [straight(state, 3)]


async def test_a_child_that_a_kind_forked_does_not_hide_that_its_lane_died(
    process: ProcessLanes, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    forked = f"child = os.fork(); child or os.read(os.pipe()[0], 1); open({str(pids)!r}, 'w').write(str(child))"
    odd = install_kind(tmp_path, f"{forked}; os._exit(7)")
    try:
        with pytest.raises(WorkError, match="exit code 7"):
            await process.advance(KIND, Batch(odd, *ONE_STEP), 0.05)
    finally:
        os.kill(int(pids.read_text()), signal.SIGKILL)
    assert (await process.advance(KIND, Batch(KIND.name, *ONE_STEP), 0.05)).states == [straight(bytes(64), 1)]


@pytest.mark.parametrize("nonsense", [b"", b"\xff", b"\0abcd", bytes(13)])
def test_what_is_no_answer_to_the_batch_is_refused(nonsense: bytes) -> None:
    with pytest.raises(ValueError, match=r"answer|buffer"):
        frames.unpack_answer(nonsense, 1)


async def test_a_lane_that_answers_nonsense_is_replaced(
    process: ProcessLanes, deaths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nonsense(_process: object, _payload: bytes) -> bytes:
        return bytes(13)

    with monkeypatch.context() as patched:
        patched.setattr(lane_groups, "_exchange", nonsense)
        with pytest.raises(WorkError, match="makes no sense") as caught:
            await process.advance(KIND, Batch(KIND.name, *ONE_STEP), 0.05)
    assert (caught.value.code, deaths) == ("lane_died", ["died"])
    assert (await process.advance(KIND, Batch(KIND.name, *ONE_STEP), 0.05)).states == [straight(bytes(64), 1)]
