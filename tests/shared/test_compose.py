"""The composition root: how a role starts, refuses to start, fails and ends. Real processes where only those tell."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator

import pytest
import structlog

from dynwork import compose, exits
from dynwork.errors import ConfigurationError
from dynwork.serving import Stop, bind
from dynwork.settings import ApiSettings, child_environment

PATIENCE_S = 30
SECRET = "s3cr3t-key-of-red"


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def start(*, parent_fd: int | None = None, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dynwork.api"],
        env=child_environment(DYNWORK_LOG_FORMAT="json", **variables),
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=() if parent_fd is None else (parent_fd,),
    )


def listening(role: subprocess.Popen[str]) -> dict[str, str]:
    """Return the first event of the role's log: it listens, and says where."""
    assert role.stderr is not None
    event: dict[str, str] = json.loads(role.stderr.readline())
    assert event["event"] == "api_listening"
    return event


@pytest.mark.system
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_role_with_exit_code_0_and_no_secret_in_its_log(number: signal.Signals) -> None:
    role = start(
        DYNWORK_API_PORT="0",
        DYNWORK_API_KEYS=f"red:{SECRET}",
        DYNWORK_API_TOKEN=SECRET,
        DYNWORK_LOG_LEVEL="debug",
        DYNWORK_ORCHESTRATOR_URLS="http://127.0.0.1:1",
    )
    first = listening(role)
    asked = urllib.request.Request(f"{first['url']}/nowhere", headers={"Authorization": f"Bearer {SECRET}"})
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(asked, timeout=5)
    role.send_signal(number)
    _, told = role.communicate(timeout=PATIENCE_S)
    assert role.returncode == 0
    events = [first, *(json.loads(line) for line in told.splitlines())]
    assert {"request_refused", "api_stopped"} <= {event["event"] for event in events}
    assert {event["role"] for event in events} == {"api"}
    assert SECRET not in json.dumps(first) + told


@pytest.mark.system
def test_a_role_ends_when_its_supervisor_is_gone() -> None:
    ours, theirs = os.pipe()
    role = start(parent_fd=ours, DYNWORK_PARENT_FD=str(ours), DYNWORK_API_PORT="0")
    os.close(ours)
    listening(role)
    os.close(theirs)
    role.communicate(timeout=PATIENCE_S)
    assert role.returncode == 0


@pytest.mark.system
def test_a_refusal_to_start_is_one_line_and_exit_code_2() -> None:
    with bind("127.0.0.1", 0) as holder:
        port = holder.getsockname()[1]
        role = start(DYNWORK_API_PORT=str(port))
        _, told = role.communicate(timeout=PATIENCE_S)
    assert role.returncode == exits.CONFIGURATION
    (line,) = told.splitlines()
    assert line.startswith(f"dynwork api: cannot listen on 127.0.0.1:{port}")


def run(monkeypatch: pytest.MonkeyPatch, role: Callable[[ApiSettings, Stop], object]) -> int:
    monkeypatch.setattr(compose, "api", role)
    return compose.main("api")


def test_bad_settings_are_one_line_without_their_values(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DYNWORK_API_KEYS", SECRET)
    assert compose.main("api") == exits.CONFIGURATION
    (line,) = capsys.readouterr().err.splitlines()
    assert "DYNWORK_API_KEYS" in line
    assert SECRET not in line


def test_beyond_loopback_a_role_refuses_to_start_without_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DYNWORK_API_HOST", "0.0.0.0")
    assert compose.main("api") == exits.CONFIGURATION
    assert "DYNWORK_API_KEYS" in capsys.readouterr().err


def test_a_refusal_inside_task_groups_is_still_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def role(_settings: ApiSettings, _stop: Stop) -> None:
        async with asyncio.TaskGroup() as outer:
            outer.create_task(refusing())

    async def refusing() -> None:
        async with asyncio.TaskGroup() as inner:
            inner.create_task(asyncio.Event().wait())
            raise ConfigurationError("the store is locked")

    assert run(monkeypatch, role) == exits.CONFIGURATION
    assert capsys.readouterr().err == "dynwork api: the store is locked\n"


def test_a_crash_is_told_with_its_own_traceback_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def role(_settings: ApiSettings, _stop: Stop) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(crashing(SECRET))

    async def crashing(token: str) -> None:
        raise ZeroDivisionError("the heart")

    monkeypatch.setenv("DYNWORK_LOG_FORMAT", "json")
    assert run(monkeypatch, role) == exits.FAILED
    told = capsys.readouterr().err
    event = json.loads(told)
    assert (event["event"], event["level"], event["role"]) == ("role_failed", "error", "api")
    (trace,) = event["exception"]
    assert (trace["exc_type"], trace["exc_value"]) == ("ZeroDivisionError", "the heart")  # not the group around it
    assert trace["frames"][-1]["name"] == "crashing"
    assert SECRET not in told


def test_several_crashes_are_all_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async def role(_settings: ApiSettings, _stop: Stop) -> None:
        raise ExceptionGroup("both", [ZeroDivisionError("one"), KeyError("two")])

    assert run(monkeypatch, role) == exits.FAILED
    told = capsys.readouterr().err
    assert "ZeroDivisionError" in told
    assert "KeyError" in told


def test_an_interrupt_before_the_role_listens_is_quiet(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def role(_settings: ApiSettings, _stop: Stop) -> None:
        raise KeyboardInterrupt

    assert run(monkeypatch, role) == exits.INTERRUPTED
    assert capsys.readouterr().err == ""


def test_an_unknown_role_is_a_defect_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no role"):
        compose.main("supervisor")
