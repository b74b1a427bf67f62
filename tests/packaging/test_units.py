"""The systemd units: systemd takes them, they confine their role, and `dynwork unit` prints them."""

from __future__ import annotations

import subprocess
from pathlib import Path, PurePosixPath
from typing import get_args

import pytest
from tests.needs import program
from typer.testing import CliRunner

from dynwork import exits
from dynwork.cli import app
from dynwork.errors import ConfigurationError
from dynwork.settings import WorkerSettings
from dynwork.units import Role, unit

ROLES = get_args(Role)
EVERY = {**{role: unit(role) for role in ROLES}, "worker of a machine": unit("worker", ends_machine=True)}


def given(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


@pytest.mark.parametrize("text", EVERY.values(), ids=EVERY)
def test_systemd_finds_nothing_wrong_with_a_unit(tmp_path: Path, text: str) -> None:
    file = tmp_path / "dynwork.service"
    file.write_text(text.replace("/opt/dynwork/bin/python", "/bin/true"))
    command = [program("systemd-analyze", "systemd"), "verify", "--man=no", "--recursive-errors=no", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("text", EVERY.values(), ids=EVERY)
def test_a_role_starts_again_whatever_ended_it_and_may_do_little(text: str) -> None:
    settings = given(text)
    assert settings["Restart"] == "always"
    assert (settings["DynamicUser"], settings["ProtectSystem"], settings["NoNewPrivileges"]) == ("yes", "strict", "yes")
    assert settings["CapabilityBoundingSet"] == ""
    assert {"MemoryMax", "TasksMax", "LimitNOFILE"} <= settings.keys()
    assert float(settings["TimeoutStopSec"]) >= 2 * WorkerSettings.model_fields["worker_stop_s"].default


def test_only_a_worker_that_has_its_machine_to_itself_ends_it() -> None:
    ending = given(unit("worker", ends_machine=True))
    assert ending["RestartPreventExitStatus"] == ending["SuccessExitStatus"] == str(exits.ORPHANED)
    assert (
        ending["ExecStopPost"]
        == f"""+/bin/sh -c 'test "$$EXIT_STATUS" != {exits.ORPHANED} || systemctl --no-block poweroff'"""
    )
    assert ending["StartLimitAction"] == "poweroff"
    assert not {"SuccessAction", "FailureAction"} & ending.keys(), "they are carried out at each restart as well"
    for role in ROLES:
        assert "poweroff" not in unit(role)
        assert given(unit(role))["StartLimitIntervalSec"] == "0", "it is never given up"


def test_an_orchestrator_has_a_folder_of_its_own_to_keep_its_store_in() -> None:
    settings = given(unit("orchestrator"))
    assert settings["Environment"] == f"DYNWORK_DATA_DIR=/var/lib/{settings['StateDirectory']}"


def test_the_command_prints_it() -> None:
    said = CliRunner().invoke(app, ["unit", "api", "--venv", "/srv/venv", "--log", "/var/log/api.log"])
    assert (said.exit_code, said.stdout) == (
        0,
        unit("api", venv=PurePosixPath("/srv/venv"), log=PurePosixPath("/var/log/api.log")),
    )
    assert "ExecStart=/srv/venv/bin/python -m dynwork.api\n" in said.stdout
    assert "StandardOutput=append:/var/log/api.log\n" in said.stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nobody"], "no role 'nobody'"),
        (["api", "--venv", "here"], "here must be an absolute path"),
        (["api", "--log", "/a b"], "/a b must be an absolute path"),
        (["api", "--log", "/a%n"], "/a%n must be an absolute path"),
    ],
)
def test_what_does_not_belong_into_a_unit_is_refused(arguments: list[str], named: str) -> None:
    said = CliRunner().invoke(app, ["unit", *arguments])
    assert isinstance(said.exception, ConfigurationError)
    assert named in str(said.exception)
