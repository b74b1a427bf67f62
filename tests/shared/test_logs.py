"""Logs: one event a line, and no secret in any of them, whatever was handed in."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from pydantic import SecretStr

from dynwork import logs
from dynwork.settings import ApiSettings, OrchestratorSettings

SECRET = "s3cr3t-t0ken"


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


FORMS = pytest.mark.parametrize("form", ["console", "json"])


def logger(form: str) -> logs.Log:
    """Configure logging to where stderr is now; in a fixture it would be somewhere else."""
    logs.configure("api", form, "debug")
    return logs.get("dynwork.tests")


LEAKS: dict[str, dict[str, object]] = {
    "a settings object": {"settings": ApiSettings(api_keys=(SecretStr(f"red:{SECRET}"),), api_token=SecretStr(SECRET))},
    "another": {"settings": OrchestratorSettings(worker_token=SecretStr(SECRET))},
    "a header": {"header": f"Authorization: Bearer {SECRET}"},
    "a header in bytes": {"header": (b"authorization", b"Bearer " + SECRET.encode())},
    "headers": {"headers": {"Authorization": f"Bearer {SECRET}", "Host": "x"}},
    "headers without a scheme": {"headers": {"authorization": SECRET}},
    "a field that says so": {"token": SECRET, "api_key": SECRET, "db_password": SECRET, "client_secret": SECRET},
    "an address with a password": {"store": f"postgresql://dynwork:{SECRET}@db:5432/dynwork"},
}


@FORMS
@pytest.mark.parametrize("fields", LEAKS.values(), ids=LEAKS.keys())
def test_a_secret_handed_in_by_mistake_is_hidden(
    form: str, fields: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    logger(form).info("something_happened", job_id="j1", **fields)
    told = capsys.readouterr().err
    assert "something_happened" in told
    assert "j1" in told
    assert SECRET not in told


@FORMS
def test_a_traceback_shows_no_local_variables(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    log = logger(form)

    def work(token: str) -> None:
        header = f"Bearer {token}"
        raise ZeroDivisionError(f"cannot send {header}")

    try:
        work(SECRET)
    except ZeroDivisionError:
        log.exception("failed")
    told = capsys.readouterr().err
    assert "ZeroDivisionError" in told
    assert "work" in told
    assert SECRET not in told


@FORMS
def test_lines_of_libraries_go_the_same_way(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    logger(form)
    logging.getLogger("other.package").warning("sent %s", f"Authorization: Bearer {SECRET}")
    logging.getLogger("other.package").info("chatter")
    told = capsys.readouterr().err
    assert "sent Authorization: Bearer [hidden]" in told
    assert "chatter" not in told
    assert SECRET not in told


def test_json_stays_json_when_something_was_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("api", "json")
    logs.get("dynwork.tests").info("called", header=f"Bearer {SECRET}", url="http://u:pw@host/x", after="kept")
    event = json.loads(capsys.readouterr().err)
    assert (event["header"], event["url"], event["after"]) == ("Bearer [hidden]", "http://u:[hidden]@host/x", "kept")
    assert (event["event"], event["level"], event["role"]) == ("called", "info", "api")
    assert event["timestamp"].endswith("Z")


def test_ordinary_fields_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("worker", "json")
    fields = {"job_id": "j", "epoch": 3, "url": "http://host:8100/x?a=b@c", "at": None, "found": {"a": 1}}
    logs.get("dynwork.tests").info("leased", **fields)
    event = json.loads(capsys.readouterr().err)
    assert {name: event[name] for name in fields} == fields


def test_events_below_the_level_are_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("api", "console", "warning")
    logs.get("dynwork.tests").info("chatter")
    assert capsys.readouterr().err == ""
