"""``dynwork submit``: what it hands in, what it shows, and how it goes on after it was interrupted."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
from typer.testing import CliRunner

from dynwork import errors
from dynwork.cli import app, main
from dynwork.testing.public_api import PublicApi

API = "http://api.test"


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DYNWORK_URL", API)
    monkeypatch.setenv("DYNWORK_PATIENCE_S", "0")
    monkeypatch.setenv("DYNWORK_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def api() -> Iterator[PublicApi]:
    api = PublicApi()
    with respx.mock:
        respx.route(host="api.test").mock(side_effect=api)
        yield api


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty files, a few of them below."""
    folder = tmp_path / "folder"
    for number in range(30):
        file = folder / ("below" if number % 5 == 0 else ".") / f"{number:02}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"file %d" % number)
    return folder


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["submit", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def rows(out: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(out)
    return found


def digest(file: str) -> str:
    return hashlib.sha512(Path(file).read_bytes()).hexdigest()


def resume_of(told: str) -> str:
    assert "dynwork submit --resume " in told
    return told.split("--resume ")[1].split()[0]


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


def test_what_cannot_be_read_twice_is_hashed_at_once(api: PublicApi, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[b"through a pipe"])
    writer.start()
    assert run(pipe, "--iterations", "7")[0] == 0
    writer.join()
    (job,) = api.jobs.values()
    assert job.item["sha512"] == hashlib.sha512(b"through a pipe").hexdigest()


# --- interrupted -----------------------------------------------------------------------------------------------------
CTRL_C, DOWN = KeyboardInterrupt(), httpx.ConnectError("refused")


@pytest.mark.parametrize(("wait", "at"), [(True, 1), (True, 2), (True, 4), (False, 0)])
@pytest.mark.parametrize("took_effect", [True, False])
def test_resumed_it_hands_in_nothing_twice_and_shows_the_same_table(
    api: PublicApi, folder: Path, wait: bool, at: int, took_effect: bool
) -> None:
    """Interrupted at the call number ``at``: with ``wait``, the first asks where the feed is, before the run begins."""
    api.per_look = 5
    interrupting = itertools.chain([None] * at, [CTRL_C])
    if took_effect:
        api.lost = interrupting
    else:
        api.faults = interrupting
    code, out, told = run(folder, "--iterations", "7", "--json", *(["--wait"] if wait else []))
    assert (code, out) == (130, "")
    code, out, _ = run("--resume", resume_of(told), "--json")
    assert (code, len(api.jobs)) == (0, 30)
    known = {job.item["sha512"]: job_id for job_id, job in api.jobs.items()}
    assert [(row["file"], row["job_id"]) for row in rows(out)] == [
        (str(file), known[digest(str(file))]) for file in sorted(folder.rglob("*")) if file.is_file()
    ]
    assert not wait or [row["hash"] for row in rows(out)] == [digest(row["file"]) for row in rows(out)]


def test_when_nobody_answers_it_says_how_to_go_on(api: PublicApi, folder: Path) -> None:
    api.faults = iter([None, DOWN])
    code, _, told = run(folder, "--iterations", "7", "--wait")
    assert code == 3
    assert run("--resume", resume_of(told))[0] == 0
    assert len(api.jobs) == 30


def test_a_run_that_ended_well_leaves_nothing_behind(api: PublicApi, folder: Path, tmp_path: Path) -> None:
    run(folder, "--iterations", "7", "--wait")
    assert list((tmp_path / "data" / "runs").iterdir()) == []


def test_a_resumed_run_may_wait_though_it_did_not_mean_to(api: PublicApi, folder: Path) -> None:
    api.lost = iter([DOWN])
    run_name = resume_of(run(folder, "--iterations", "7")[2])
    for job in api.open:
        api.end(job)  # before anybody looked at the feed
    code, out, _ = run("--resume", run_name, "--wait", "--json")
    assert (code, {row["state"] for row in rows(out)}) == (0, {"succeeded"})


def test_wrong_usage_is_exit_code_2(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments in (
        [folder / "01", "--iterations", "0"],
        [folder / "missing", "--iterations", "1"],
        [folder],
        ["--iterations", "1"],
        [tmp_path / "empty", "--iterations", "1"],
        [folder, "--resume", "x"],
        ["/dev/null", "--iterations", "1", "--kind", "sloth"],
    ):
        assert run(*arguments)[0] == 2, arguments


def test_from_another_folder_it_goes_on_and_asks_for_no_job_by_itself(
    api: PublicApi, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    api.lost = iter([None, DOWN])
    run_name = resume_of(run(folder.name, "--iterations", "7", "--wait")[2])
    for job in api.open:
        api.end(job)
    monkeypatch.chdir(tmp_path / "data")
    code, out, _ = run("--resume", run_name, "--json")
    assert (code, {row["state"] for row in rows(out)}) == (0, {"succeeded"})
    assert [request.url.path for request in api.requests if request.url.path.startswith("/jobs/")] == []


def test_a_run_is_looked_for_among_the_runs_alone(api: PublicApi, folder: Path, tmp_path: Path) -> None:
    api.faults = iter([DOWN])
    kept = tmp_path / "data" / "runs" / f"{resume_of(run(folder, '--iterations', '7')[2])}.json"
    kept.rename(tmp_path / "data" / "x.json")
    result = CliRunner().invoke(app, ["submit", "--resume", "../x"])
    assert isinstance(result.exception, errors.ConfigurationError)
    assert api.jobs == {}


def test_a_run_that_is_not_known_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["dynwork", "submit", "--resume", "../x"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "there is no run ../x to be resumed" in capsys.readouterr().err


ODD = {
    "[red]": "[red]",
    ":smile:": ":smile:",
    "two\nlines": "two\\nlines",
    "\x1b[31m": "\\x1b[31m",
    "\udcff": "\\udcff",
}
"""Names of files that rich would take for markup, that a terminal would obey, and that are no UTF-8; and as shown."""


def test_whatever_files_are_called_the_table_names_them_and_the_run_goes_on(api: PublicApi, tmp_path: Path) -> None:
    folder = tmp_path / "[/bold]"  # as markup it ends what was never begun
    folder.mkdir(parents=True)
    for name in ODD:
        (folder / name).write_bytes(name.encode(errors="surrogateescape"))
    api.faults = iter([None, DOWN])
    code, _, told = run(folder, "--iterations", "7", "--wait")
    assert code == 3
    code, out, told = run("--resume", resume_of(told))
    assert (code, told) == (0, "")
    lines = [line.split() for line in out.splitlines()[1:]]
    hashes = {str(folder / shown): digest(str(folder / name)) for name, shown in ODD.items()}
    assert {line[0]: line[3] for line in lines} == hashes
