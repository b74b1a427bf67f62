"""``dynwork submit``: what it hands in, and what it shows."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.cli.submitting import DOWN, digest, resume_of, rows, run

from dynwork.cli import main
from dynwork.testing.public_api import PublicApi


def test_a_file_goes_in_with_its_parameters(api: PublicApi, folder: Path) -> None:
    code, out, told = run(folder / "01", "--iterations", "7", "--priority", "9", "--json")
    (job,) = api.jobs.values()
    assert (code, rows(out), told) == (0, [{"file": str(folder / "01"), "job_id": job.job_id, "error": None}], "")
    assert (job.item["iterations"], job.item["priority"], job.item["kind"]) == (7, 9, "sha512-chain")
    assert job.item["sha512"] == digest(str(folder / "01"))


def test_another_kind_of_work_is_named_and_its_buffers_travel(api: PublicApi, folder: Path) -> None:
    assert run(folder / "01", "--iterations", "7", "--kind", "sloth")[0] == 0
    (job,) = api.jobs.values()
    assert (job.item["kind"], "data" in job.item) == ("sloth", True)


def test_of_a_folder_every_file_goes_in_and_a_table_comes_out(api: PublicApi, folder: Path) -> None:
    code, out, told = run(folder, "--iterations", "7", "--wait")
    lines = [line.split() for line in out.splitlines()]
    files = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    assert (code, told) == (0, "")
    assert lines[0] == ["file", "job_id", "state", "hash"]
    assert [line[0] for line in lines[1:]] == files
    assert [line[3] for line in lines[1:]] == [digest(file) for file in files]


def test_on_a_terminal_one_bar_moves_beside_the_results(
    api: PublicApi, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # to rich that is a terminal
    code, out, told = run(folder, "--iterations", "7", "--wait", "--json")
    assert (code, len(rows(out))) == (0, 30)
    assert "30/30" in told
    assert "done" in told


@pytest.mark.parametrize(("state", "code"), [("succeeded", 0), ("dead", 1), ("cancelled", 1)])
def test_wait_ends_with_how_the_jobs_ended(api: PublicApi, folder: Path, state: str, code: int) -> None:
    api.ends_as = lambda job: state
    ended, out, told = run(folder / "01", folder / "02", "--iterations", "7", "--wait")
    assert (ended, out.count(state)) == (code, 2)
    assert told.count(f"job_{state}:") == (2 if code else 0)


def test_a_file_that_is_refused_keeps_nobody_up(api: PublicApi, folder: Path) -> None:
    (folder / "01").write_bytes(b"")
    code, out, _ = run(folder, "--iterations", "7", "--wait", "--json")
    refused = [row for row in rows(out) if row["state"] == "refused"]
    assert (code, len(api.jobs)) == (1, 29)
    assert [(row["file"], row["error"]["code"]) for row in refused] == [(str(folder / "01"), "empty_body")]


@pytest.mark.parametrize("wait", [True, False])
def test_what_is_left_out_of_a_folder_is_told_and_is_no_success(
    api: PublicApi, folder: Path, wait: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "nothing").symlink_to("missing")
    (folder / "there").symlink_to("below")
    os.mkfifo(folder / "pipe")
    look = os.scandir

    def refusing(path: str) -> Any:
        if path == str(folder / "below"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return look(path)

    monkeypatch.setattr(os, "scandir", refusing)
    arguments = [folder, "--iterations", "7", *(["--wait"] if wait else [])]
    code, out, _ = run(*arguments, "--json")
    left_out = {Path(row["file"]).name: row["error"] for row in rows(out) if row["job_id"] is None}
    assert (code, len(api.jobs), len(rows(out))) == (1, 24, 28)
    assert {name: error["code"] for name, error in left_out.items()} == dict.fromkeys(
        ("below", "nothing", "there", "pipe"), "invalid_input"
    )
    assert left_out["below"]["detail"] == "cannot be read: Permission denied"
    assert not wait or {row["state"] for row in rows(out)} == {"succeeded", "refused"}
    assert [row["file"] for row in rows(out)] == sorted(row["file"] for row in rows(out))
    assert f"{folder / 'below'}: invalid_input: cannot be read: Permission denied\n" in run(*arguments)[2]


def test_what_is_left_out_is_still_told_by_a_run_that_is_resumed(api: PublicApi, folder: Path) -> None:
    (folder / "nothing").symlink_to("missing")
    api.faults = iter([None, DOWN])
    code, _, told = run(folder, "--iterations", "7", "--wait")
    code, out, _ = run("--resume", resume_of(told), "--json")
    assert (code, len(api.jobs)) == (1, 30)
    assert [row["file"] for row in rows(out) if row["error"]] == [str(folder / "nothing")]


def test_what_cannot_be_read_twice_is_hashed_at_once(api: PublicApi, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[b"through a pipe"])
    writer.start()
    assert run(pipe, "--iterations", "7")[0] == 0
    writer.join()
    (job,) = api.jobs.values()
    assert job.item["sha512"] == hashlib.sha512(b"through a pipe").hexdigest()


def test_wrong_usage_is_exit_code_2(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments in (
        [folder / "01", "--iterations", "0"],
        [folder / "missing", "--iterations", "1"],
        [folder],
        ["--iterations", "1"],
        [tmp_path / "empty", "--iterations", "1"],
        ["/dev/null", "--iterations", "1", "--kind", "sloth"],
    ):
        assert run(*arguments)[0] == 2, arguments


def test_a_name_that_the_terminal_cannot_show_is_written_out(
    api: PublicApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "\u0444.bin"
    file.write_bytes(b"x")
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "argv", ["dynwork", "submit", str(file), "--iterations", "7", "--wait"])
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    name, _, _, hash_ = shown.getvalue().decode().splitlines()[1].split()
    assert (name, hash_) == (str(tmp_path / "\\u0444.bin"), digest(str(file)))


@pytest.mark.parametrize("option", [["."], ["--iterations", "7"], ["--priority", "5"], ["--kind", "sloth"]])
def test_what_a_resumed_run_knows_already_is_refused(api: PublicApi, folder: Path, option: list[str]) -> None:
    api.faults = iter([DOWN])
    name = resume_of(run(folder, "--iterations", "7")[2])
    code, _, told = run("--resume", name, *option)
    assert (code, api.jobs) == (2, {})
    assert "--resume knows" in told
    assert run("--resume", name)[0] == 0
