"""The command line against an API of paper: what is sent, what is shown, and with which exit code it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import respx
from typer.testing import CliRunner

from dynwork import __version__
from dynwork.cli import app, main
from dynwork.testing.public_api import job_view, problem

API = "http://api.test"
JOB_ID = "01900000-0000-7000-8000-000000000000"
STATS = {
    **dict.fromkeys(("queued", "leased", "succeeded", "dead", "cancelled"), 42),
    "backlog_steps": 0.0,
    "backlog_s": None,
    "submitted_per_s": 0.0,
    "completed_per_s": 0.0,
    "oldest_wait_s": 0.0,
}
WORKER = {
    "worker_id": "w-1",
    "instance_id": None,
    "pid": 7,
    "host": None,
    "state": "ready",
    "capacity": 1e6,
    "chain_speed": 1e6,
    "leases": 2,
    "lanes": 1,
    "path": None,
    "started_at": None,
    "last_seen_at": "now",
}
FLEET = {"min": 1, "max": 4, "workers": [WORKER], "instances": [], "leader": None, "decision": "hold: enough"}


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DYNWORK_URL", API)
    monkeypatch.setenv("DYNWORK_API_KEY", "s3cret")
    monkeypatch.setenv("DYNWORK_PATIENCE_S", "0")
    monkeypatch.setenv("DYNWORK_DATA_DIR", str(tmp_path / "data"))


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, result.stderr


def test_the_version_is_told() -> None:
    assert run("--version") == (0, f"dynwork {__version__}\n", "")


@respx.mock
def test_pull_shows_the_newest_results() -> None:
    result = {"job_id": JOB_ID, "iterations": 7, "completed_at": "2026-01-01T00:00:00Z", "hash": "ab" * 64}
    respx.post(f"{API}/pullCompleted", params={"top": "3"}).respond(200, json=[result])
    code, out, _ = run("pull", "--top", "3")
    assert code == 0
    assert out.splitlines()[1].split() == [JOB_ID, "7", "2026-01-01T00:00:00Z", "ab" * 64]


@respx.mock
def test_job_and_cancel_show_the_job_and_requeue_the_new_one() -> None:
    route = respx.get(f"{API}/jobs/{JOB_ID}").respond(200, json=job_view(JOB_ID, "succeeded"))
    respx.delete(f"{API}/jobs/{JOB_ID}").respond(200, json=job_view(JOB_ID, "cancelled"))
    respx.post(f"{API}/jobs/{JOB_ID}/requeue").respond(202, json={"job_id": "new"})
    assert "succeeded" in run("job", JOB_ID)[1]
    assert route.calls.last.request.headers["Authorization"] == "Bearer s3cret"
    assert json.loads(run("cancel", JOB_ID, "--json")[1]) == job_view(JOB_ID, "cancelled")
    assert json.loads(run("requeue", JOB_ID, "--json")[1]) == {"job_id": "new"}


@respx.mock
def test_jobs_lists_what_is_asked_for() -> None:
    route = respx.get(f"{API}/jobs").respond(200, json={"jobs": [job_view(JOB_ID, "dead")], "next": None})
    code, out, _ = run("jobs", "--state", "dead", "--owner", "me", "--limit", "5")
    assert (code, out.splitlines()[1].split()[:3]) == (0, [JOB_ID, "dead", "7"])
    assert dict(route.calls.last.request.url.params) == {"state": "dead", "owner": "me", "limit": "5"}


@respx.mock
def test_results_tells_what_ended_since_the_last_time(tmp_path: Path) -> None:
    def page(request: httpx.Request) -> httpx.Response:
        view = job_view(JOB_ID, "dead")
        first = {name: view[name] for name in ("job_id", "state", "hash", "iterations", "completed_at", "error")}
        return httpx.Response(200, json={"results": [] if "after" in request.url.params else [first], "next": "c1"})

    route = respx.get(f"{API}/results").mock(side_effect=page)
    cursor = ["--cursor-file", str(tmp_path / "cursor")]
    code, out, _ = run("results", *cursor)
    assert (code, out.split()[1:]) == (0, [JOB_ID, "dead", "kind_error:", "it", "broke"])
    assert run("results", *cursor, "--json") == (0, "", "")
    assert route.calls.last.request.url.params["after"] == "c1"
    assert json.loads(run("results", "--json")[1])["job_id"] == JOB_ID


@respx.mock
def test_ctrl_c_ends_what_follows_with_its_own_exit_code() -> None:
    def ctrl_c(request: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    respx.get(f"{API}/results").mock(side_effect=ctrl_c)
    assert run("results", "--follow")[0] == 130


@respx.mock
def test_status_shows_the_queue_and_the_fleet() -> None:
    respx.get(f"{API}/stats").respond(200, json=STATS)
    respx.get(f"{API}/fleet").respond(200, json=FLEET)
    code, out, _ = run("status")
    assert code == 0
    for shown in ("42", "w-1", "1,000,000.0", "1 of 1 to 4; hold: enough"):
        assert shown in out
    assert json.loads(run("status", "--json")[1]) == {"stats": STATS, "fleet": FLEET}


@respx.mock
@pytest.mark.parametrize(
    ("status", "told", "code"), [(404, "not_found", 1), (409, "job_finished", 1), (503, "no_orchestrator", 3)]
)
def test_a_refusal_is_one_line_and_an_exit_code(status: int, told: str, code: int) -> None:
    respx.delete(f"{API}/jobs/{JOB_ID}").mock(return_value=problem(status, told))
    assert run("cancel", JOB_ID) == (code, "", f"dynwork: {told}: what to do\n")


@pytest.mark.parametrize("command", ["job", "cancel", "requeue"])
def test_what_can_be_no_id_is_one_line_and_nothing_is_asked(command: str) -> None:
    assert run(command, "..") == (1, "", "dynwork: invalid_input: '..' is the id of no job\n")


@respx.mock
@pytest.mark.parametrize("status", [404, 200])
def test_an_answer_that_is_not_an_api_s_is_said_to_be_so(status: int) -> None:
    respx.get(f"{API}/jobs/{JOB_ID}").respond(status, text="<html>hello</html>")
    expected = f"dynwork: unexpected_answer: status {status}, and not what a dynwork API says: is api.test one?\n"
    assert run("job", JOB_ID) == (1, "", expected)


@pytest.mark.parametrize(
    ("arguments", "url", "code"),
    [
        (["job", JOB_ID], "http://[::1", 2),
        (["job", JOB_ID], "http://127.0.0.1:port", 2),
        (["job", JOB_ID], "http://host/?x=1", 2),
        (["up", "--data-dir", "/dev/null/dir"], API, 2),
    ],
)
def test_what_cannot_be_used_is_one_line(
    arguments: list[str], url: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DYNWORK_URL", url)
    monkeypatch.setattr(sys, "argv", ["dynwork", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dynwork: ")


def test_a_cursor_file_that_is_none_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "picture").write_bytes(b"\xff")
    monkeypatch.setattr(sys, "argv", ["dynwork", "results", "--cursor-file", str(tmp_path / "picture")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"dynwork: {tmp_path / 'picture'} holds no cursor")


INTERRUPTED_WHILE_LOADING = """
import sys
class CtrlC:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, CtrlC())
import runpy
runpy.run_module("dynwork", run_name="__main__")
"""


def test_ctrl_c_while_it_is_loaded_ends_quietly() -> None:
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED_WHILE_LOADING], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


@respx.mock
def test_nobody_there_is_exit_code_3() -> None:
    respx.get(f"{API}/jobs/{JOB_ID}").mock(side_effect=httpx.ConnectError("refused"))
    assert run("job", JOB_ID) == (3, "", f"dynwork: no_answer: no answer from {API} (ConnectError)\n")


@respx.mock
@pytest.mark.parametrize("status", [429, 503])
def test_a_load_balancer_without_an_api_is_exit_code_3(status: int) -> None:
    respx.get(f"{API}/jobs/{JOB_ID}").respond(status, text="<html>")
    assert run("job", JOB_ID) == (3, "", f"dynwork: no_answer: status {status} from a proxy\n")


@respx.mock
def test_what_a_command_waits_for_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNWORK_PATIENCE_S", "60")
    down = httpx.ConnectError("refused")
    respx.get(f"{API}/jobs/{JOB_ID}").mock(side_effect=[down, down, httpx.Response(200, json=job_view(JOB_ID))])
    code, _, told = run("job", JOB_ID)
    assert (code, told) == (0, f"dynwork: no answer from {API} (ConnectError); trying again\n")


@pytest.mark.parametrize(
    ("words", "expected"), [("dynwork re", ["results", "requeue"]), ("dynwork jobs --state d", ["dead"])]
)
def test_a_shell_completes_commands_and_states(words: str, expected: list[str]) -> None:
    line = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_DYNWORK_COMPLETE": "complete_bash"}
    assert CliRunner().invoke(app, [], env=line, prog_name="dynwork").stdout.split() == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--orchestrators", "2"], "SQLite"),
        (["--min-workers", "5"], "--min-workers must not be above --max-workers"),
        (["--apis", "0"], "from 1 to 32"),
        (["--api-port", "65500"], "leaves no room"),
    ],
)
def test_what_up_cannot_run_is_refused_in_one_line(
    tmp_path: Path,
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["dynwork", "up", "--data-dir", str(tmp_path), *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
