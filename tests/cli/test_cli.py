"""The command line against an API of paper: what is sent, what is shown, and with which exit code it ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import httpx
import pytest
import respx
from typer.testing import CliRunner

from dynwork import __version__
from dynwork.cli import app, main

API = "http://api.test"
JOB_ID = "01900000-0000-7000-8000-000000000000"
JOB = {
    "job_id": JOB_ID,
    "state": "succeeded",
    "hash": "ab" * 64,
    "completed_at": "2026-01-01T00:00:00Z",
    "percent": 100.0,
}


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNWORK_URL", API)
    monkeypatch.setenv("DYNWORK_API_KEY", "s3cret")


@pytest.fixture
def buffer(tmp_path: Path) -> Path:
    path = tmp_path / "buffer"
    path.write_bytes(b"some bytes")
    return path


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout, result.stderr


def test_the_version_is_told() -> None:
    assert run("--version") == (0, f"dynwork {__version__}\n", "")


@respx.mock
def test_submit_sends_the_file_with_its_parameters_and_the_key(buffer: Path) -> None:
    route = respx.put(f"{API}/enqueue").respond(202, json={"job_id": JOB_ID})
    code, out, _ = run("submit", str(buffer), "--iterations", "7", "--priority", "9", "--json")
    assert (code, json.loads(out)) == (0, [{"job_id": JOB_ID}])
    request = route.calls.last.request
    assert dict(request.url.params) == {"iterations": "7", "priority": "9"}
    assert request.content == b"some bytes"
    assert request.headers["Authorization"] == "Bearer s3cret"


@respx.mock
def test_submit_names_another_kind_of_work(buffer: Path) -> None:
    route = respx.put(f"{API}/enqueue").respond(202, json={"job_id": JOB_ID})
    assert run("submit", str(buffer), "--iterations", "7", "--kind", "sloth")[0] == 0
    assert route.calls.last.request.url.params["kind"] == "sloth"


@respx.mock
@pytest.mark.parametrize(("state", "code"), [("succeeded", 0), ("dead", 1), ("cancelled", 1)])
def test_submit_wait_ends_with_how_the_job_ended(buffer: Path, state: str, code: int) -> None:
    respx.put(f"{API}/enqueue").respond(202, json={"job_id": JOB_ID})
    respx.get(f"{API}/jobs/{JOB_ID}").mock(
        side_effect=[
            httpx.Response(200, json={**JOB, "state": "leased", "completed_at": None}),
            httpx.Response(200, json={**JOB, "state": state}),
        ]
    )
    ended, out, _ = run("submit", str(buffer), "--iterations", "7", "--wait", "--json")
    assert (ended, json.loads(out)[0]["state"]) == (code, state)


@respx.mock
def test_pull_shows_the_newest_results() -> None:
    result = {"job_id": JOB_ID, "iterations": 7, "completed_at": "2026-01-01T00:00:00Z", "hash": "ab" * 64}
    respx.post(f"{API}/pullCompleted", params={"top": "3"}).respond(200, json=[result])
    code, out, _ = run("pull", "--top", "3")
    assert code == 0
    assert out.splitlines()[1].split() == [JOB_ID, "7", "2026-01-01T00:00:00Z", "ab" * 64]


@respx.mock
def test_job_and_cancel_show_the_job() -> None:
    respx.get(f"{API}/jobs/{JOB_ID}").respond(200, json=JOB)
    respx.delete(f"{API}/jobs/{JOB_ID}").respond(200, json={**JOB, "state": "cancelled"})
    assert "succeeded" in run("job", JOB_ID)[1]
    assert json.loads(run("cancel", JOB_ID, "--json")[1])["state"] == "cancelled"


@respx.mock
def test_status_shows_the_queue_and_the_fleet() -> None:
    worker = {
        "worker_id": "w-1",
        "state": "ready",
        "leases": 2,
        "lanes": 1,
        "capacity": 1e6,
        "pid": 7,
        "last_seen_at": "now",
    }
    respx.get(f"{API}/stats").respond(200, json={"queued": 42, "backlog_s": None})
    respx.get(f"{API}/fleet").respond(200, json={"min": 1, "max": 4, "workers": [worker], "decision": "hold: enough"})
    code, out, _ = run("status")
    assert code == 0
    for shown in ("42", "w-1", "1,000,000.0", "1 of 1 to 4; hold: enough"):
        assert shown in out


@respx.mock
@pytest.mark.parametrize(("status", "code"), [(404, 1), (409, 1), (503, 3)])
def test_a_refusal_is_one_line_and_an_exit_code(status: int, code: int) -> None:
    respx.get(f"{API}/jobs/{JOB_ID}").respond(status, json={"code": "some_code", "detail": "what to do"})
    assert run("job", JOB_ID) == (code, "", "dynwork: some_code: what to do\n")


@respx.mock
def test_an_answer_that_is_no_problem_document_is_told_by_its_status() -> None:
    respx.get(f"{API}/jobs/{JOB_ID}").respond(502, text="<html>bad gateway</html>")
    expected = "dynwork: status 502, and not what a dynwork API says: is api.test one?\n"
    assert run("job", JOB_ID) == (1, "", expected)


@respx.mock
def test_a_success_that_is_not_json_is_told_likewise() -> None:
    respx.get(f"{API}/jobs/{JOB_ID}").respond(200, text="<html>hello</html>")
    code, _, told = run("job", JOB_ID)
    assert (code, told.startswith("dynwork: status 200, and not what a dynwork API says")) == (1, True)


@respx.mock
def test_what_was_accepted_before_a_refusal_is_shown(buffer: Path) -> None:
    refusal = httpx.Response(400, json={"code": "empty_body", "detail": "send something"})
    respx.put(f"{API}/enqueue").mock(side_effect=[httpx.Response(202, json={"job_id": JOB_ID}), refusal])
    code, out, told = run("submit", str(buffer), str(buffer), "--iterations", "7", "--wait", "--json")
    assert (code, json.loads(out), told) == (1, [{"job_id": JOB_ID}], "dynwork: empty_body: send something\n")


@respx.mock
def test_a_buffer_whose_length_is_not_known_is_sent_in_pieces(buffer: Path) -> None:
    route = respx.put(f"{API}/enqueue").respond(202, json={"job_id": JOB_ID})
    assert run("submit", str(buffer), "--iterations", "7")[0] == 0
    assert "Content-Length" not in route.calls.last.request.headers


@respx.mock
def test_an_id_is_one_piece_of_a_path_whatever_it_holds() -> None:
    route = respx.route().respond(422, json={"code": "invalid_input", "detail": "job_id"})
    for command in ("job", "cancel"):
        run(command, "../stats?a#b")
        assert route.calls.last.request.url.raw_path == b"/jobs/..%2Fstats%3Fa%23b"


@respx.mock
def test_a_key_outside_ascii_is_sent_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNWORK_API_KEY", "ключ")
    route = respx.get(f"{API}/jobs/{JOB_ID}").respond(200, json=JOB)
    assert run("job", JOB_ID)[0] == 0
    assert (b"Authorization", "Bearer ключ".encode()) in route.calls.last.request.headers.raw


@pytest.mark.parametrize(
    ("arguments", "url", "code"),
    [
        (["job", JOB_ID], "http://[::1", 2),
        (["job", JOB_ID], "http://127.0.0.1:port", 2),
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


@respx.mock
def test_nobody_there_is_exit_code_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    respx.get(f"{API}/jobs/{JOB_ID}").mock(side_effect=httpx.ConnectError("refused"))
    monkeypatch.setattr(sys, "argv", ["dynwork", "job", JOB_ID])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    assert capsys.readouterr().err == f"dynwork: no answer from {API} (ConnectError)\n"


def test_wrong_usage_is_exit_code_2(buffer: Path) -> None:
    assert run("submit", str(buffer), "--iterations", "0")[0] == 2
    assert run("submit", str(buffer.parent / "missing"), "--iterations", "1")[0] == 2


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
