"""Log files of local processes stay bounded in size and number."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dynwork.orchestrator.fleet import logfiles
from dynwork.orchestrator.fleet.logfiles import LogFiles


def test_a_log_beyond_its_bound_is_emptied_under_its_writer_without_a_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfiles, "FILE_BYTES_MAX", 10)
    logs = LogFiles(tmp_path)
    with logs.opened("a.log") as output:
        output.write(b"x" * 11)
        logs.bound("a.log")
        output.write(b"more")
    assert (tmp_path / "a.log").read_bytes() == b"more"


def test_what_earlier_processes_wrote_is_kept(tmp_path: Path) -> None:
    logs = LogFiles(tmp_path)
    for line in (b"one\n", b"two\n\n"):
        with logs.opened("a.log") as output:
            output.write(line)
    assert (tmp_path / "a.log").read_bytes() == b"one\ntwo\n\n"
    assert logs.last_line("a.log") == "two"
    assert logs.last_line("missing.log") == ""


def test_only_the_newest_logs_of_ended_processes_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "FILES_MAX", 2)
    for age, name in enumerate(["worker-1.log", "worker-2.log", "worker-3.log", "worker-4.log", "api-0.log"]):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1000 + age, 1000 + age))
    LogFiles(tmp_path).prune("worker-", keep={"worker-1.log"})
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["api-0.log", "worker-1.log", "worker-3.log", "worker-4.log"]
