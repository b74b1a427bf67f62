"""A file that is replaced is whole at any moment, and on disk when that is done."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from dynwork.cli.runs import Run, Runs
from dynwork.client._cursor_file import CursorFile
from dynwork.files import replace_text


def keep_cursor(folder: Path, text: str) -> Path:
    CursorFile(folder / "cursor").write(text)
    return folder / "cursor"


def keep_run(folder: Path, text: str) -> Path:
    Runs(folder).begin(Run(name="run", iterations=1, priority=5, kind=text, wait=False, entries=[]))
    return folder / "runs" / "run.json"


KEEPERS = pytest.mark.parametrize("keep", [keep_cursor, keep_run])
Keep = Callable[[Path, str], Path]


class CrashError(Exception):
    """What stands for the end of the process."""


@KEEPERS
@pytest.mark.parametrize(("where", "what"), [(os, "fsync"), (Path, "replace")])
def test_after_a_crash_before_the_end_the_old_one_is_there_whole(
    tmp_path: Path, keep: Keep, where: object, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise CrashError

    kept = keep(tmp_path, "old")
    before = kept.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(where, what, crash)
        with pytest.raises(CrashError):
            keep(tmp_path, "new")
    assert kept.read_bytes() == before
    keep(tmp_path, "new")
    assert b"new" in kept.read_bytes()


@KEEPERS
def test_text_and_name_are_on_disk_when_it_returns(tmp_path: Path, keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[bool, bool]] = []

    def fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append((is_folder, any(path.suffix == ".new" for path in tmp_path.rglob("*"))))

    monkeypatch.setattr(os, "fsync", fsync)
    keep(tmp_path, "text")
    assert synced == [(False, True), (True, False)], "the text before its name, and the name in its folder"


def test_no_other_file_is_touched(tmp_path: Path) -> None:
    replace_text(tmp_path / "one.txt", "1")
    replace_text(tmp_path / "one.json", "2")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"one.txt": "1", "one.json": "2"}
