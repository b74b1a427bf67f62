"""``dynwork submit``: how it goes on after it was interrupted."""

from __future__ import annotations

import errno
import io
import itertools
import os
import sys
from pathlib import Path

import pytest
from tests.cli.submitting import DOWN, digest, resume_of, rows, run
from typer.testing import CliRunner

from dynwork import errors
from dynwork.cli import app, main
from dynwork.testing.public_api import PublicApi

CTRL_C = KeyboardInterrupt()


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


class Full(io.BytesIO):
    """A disk that is full."""

    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


class Closed(io.BytesIO):
    """A pipe that nobody reads any more."""

    def write(self, data: object) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    def fileno(self) -> int:
        return os.open(os.devnull, os.O_WRONLY)


@pytest.mark.parametrize("out", [Full, Closed])
@pytest.mark.parametrize("as_json", [True, False])
def test_a_run_whose_table_could_not_be_written_is_kept(
    api: PublicApi,
    folder: Path,
    out: type[io.BytesIO],
    as_json: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--json"] if as_json else []
    monkeypatch.setattr(sys, "argv", ["dynwork", "submit", str(folder), "--iterations", "7", "--wait", *arguments])
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", sys.stderr)
        patched.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(out())))
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 1
    code, table, _ = run("--resume", resume_of(capsys.readouterr().err), "--json")
    assert (code, len(rows(table)), len(api.jobs)) == (0, 30, 30)


def test_a_resumed_run_may_wait_though_it_did_not_mean_to(api: PublicApi, folder: Path) -> None:
    api.lost = iter([DOWN])
    run_name = resume_of(run(folder, "--iterations", "7")[2])
    for job in api.open:
        api.end(job)  # before anybody looked at the feed
    code, out, _ = run("--resume", run_name, "--wait", "--json")
    assert (code, {row["state"] for row in rows(out)}) == (0, {"succeeded"})


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


@pytest.mark.parametrize("link", [None, "link"])
def test_what_a_descriptor_stands_for_is_hashed_at_once(
    api: PublicApi, folder: Path, tmp_path: Path, link: str | None
) -> None:
    """Like ``/dev/stdin`` that comes from a file: when the run is resumed it is another file, if any."""
    with (folder / "01").open() as given, (folder / "02").open() as another:
        name = Path(f"/dev/fd/{given.fileno()}")
        if link:
            (tmp_path / link).symlink_to(name)
            name = tmp_path / link
        api.faults = iter([DOWN])
        told = run(name, "--iterations", "7")[2]
        os.dup2(another.fileno(), given.fileno())
        assert run("--resume", resume_of(told))[0] == 0
    (job,) = api.jobs.values()
    assert job.item["sha512"] == digest(str(folder / "01"))


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
