"""The boot script: what is in it, what is not, and that the tools of a machine take it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from dynwork import exits
from dynwork.errors import ConfigurationError
from dynwork.orchestrator.fleet import userdata
from dynwork.orchestrator.fleet.userdata import BYTES_MAX, BootPlan, boot_script, unit
from dynwork.settings import WorkerSettings
from dynwork.worker.role import SECRETS

PLAN = BootPlan(
    region="eu-central-1",
    release="s3://some-bucket/releases/0.1.0",
    release_sha256="ab" * 32,
    secret="/dynwork/prod/worker-token",
    orchestrator_urls=("http://orchestrator.dynwork.internal:8100",),
    variables={},
)


def settings_in(script: str) -> dict[str, str]:
    (lines,) = re.findall(r"<<'SETTINGS'\n(.*?)\nSETTINGS\n", script, re.DOTALL)
    return dict(line.split("=", 1) for line in lines.splitlines())


def test_it_is_a_shell_script_that_ec2_takes() -> None:
    script = boot_script(PLAN, "0" * 36)
    assert script.startswith("#!/bin/bash\n")
    assert len(script.encode()) < BYTES_MAX / 2
    checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_worker_it_starts_knows_who_it_is_and_whom_to_ask_and_nothing_else() -> None:
    told = settings_in(boot_script(replace(PLAN, variables={"DYNWORK_WORKER_SLOTS": "2"}), "our-id"))
    assert told == {
        "DYNWORK_ORCHESTRATOR_URLS": "http://orchestrator.dynwork.internal:8100",
        "DYNWORK_WORKER_ID": "our-id",
        "DYNWORK_WORKER_INSTANCE_ID": "our-id",
        "DYNWORK_WORKER_NOTICES": "ec2",
        "DYNWORK_WORKER_SLOTS": "2",
        "DYNWORK_LOG_FORMAT": "json",
    }
    settings = WorkerSettings.model_validate({name.removeprefix("DYNWORK_").lower(): told[name] for name in told})
    assert (settings.orphan_s, settings.worker_notices) == (600.0, "ec2")


def test_no_secret_is_in_it_and_one_is_read() -> None:
    script = boot_script(PLAN, "our-id")
    assert set(re.findall(r"DYNWORK_[A-Z_]*(?:TOKEN|KEY)[A-Z_]*", script)) == {"DYNWORK_WORKER_TOKEN"}
    assert set(SECRETS) & set(settings_in(script)) == set()
    assert script.count("aws ssm get-parameter") == 1
    assert script.count("aws ") == 2, "the release, and the secret"


def test_everything_that_is_installed_is_checked_by_its_hash_first() -> None:
    script = boot_script(PLAN, "our-id")
    steps = ("aws s3 cp", "ab" * 32, "--strict SHA256SUMS", "diff <(find", "-m venv", "-m pip install")
    order = [script.index(step) for step in steps]
    assert order == sorted(order)
    assert len(re.findall(r"python[0-9.]* -I -m (?:venv|pip)", script)) == 3, "nothing of the folder is run"
    assert not re.search(r"python[0-9.]* -m (?:venv|pip)", script)
    installs = re.findall(r"-m pip install (.*)", script)
    assert len(installs) == 2
    assert all("--no-index" in install for install in installs)
    assert "--require-hashes" in installs[0]
    assert "--no-deps" in installs[1]


def test_it_is_the_same_for_everybody_and_knows_nothing_of_tests() -> None:
    one, other = boot_script(PLAN, "one-id"), boot_script(PLAN, "other-id")
    assert one.replace("one-id", "other-id") == other
    source = Path(userdata.__file__).read_text()
    assert not re.search(r"moto|endpoint|localhost|127\.0\.0\.1|mock|lab\b", one + source)


@pytest.mark.parametrize(
    "changes",
    [
        {"release": "https://elsewhere/x"},
        {"release": "s3://bucket"},
        {"release": "s3://bucket/x; reboot"},
        {"release": "s3://bucket/$(reboot)"},
        {"release_sha256": "ab"},
        {"release_sha256": "AB" * 32},
        {"secret": "a b"},
        {"secret": "'"},
        {"region": "eu; reboot"},
    ],
)
def test_what_does_not_belong_into_a_script_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        replace(PLAN, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["http://a b", "http://a\nX=1", "http://a'", "http://a$HOME", "http://a`b`"])
def test_what_does_not_belong_into_the_environment_of_a_unit_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="DYNWORK_ORCHESTRATOR_URLS"):
        boot_script(replace(PLAN, orchestrator_urls=(url,)), "our-id")


def test_a_script_that_is_too_long_is_refused() -> None:
    urls = tuple(f"http://orchestrator-{number}.dynwork.internal:8100" for number in range(400))
    with pytest.raises(ConfigurationError, match="EC2 takes 16384"):
        boot_script(replace(PLAN, orchestrator_urls=urls), "our-id")


# -- the unit ---------------------------------------------------------------------------------------------------------
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd here: apt install systemd")  # which CI does
    (tmp_path / "dynwork-worker.service").write_text(unit().replace("/opt/dynwork/bin/python", "/bin/true"))
    command = [
        "systemd-analyze",
        "verify",
        "--man=no",
        "--recursive-errors=no",
        str(tmp_path / "dynwork-worker.service"),
    ]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_unit_gives_a_worker_time_to_hand_back_and_ends_the_machine_of_an_orphan() -> None:
    given = dict(line.split("=", 1) for line in unit().splitlines() if "=" in line and not line.startswith("#"))
    assert float(given["TimeoutStopSec"]) >= 2 * WorkerSettings.model_fields["worker_stop_s"].default
    assert given["Restart"] == "always"
    assert given["RestartPreventExitStatus"] == given["SuccessExitStatus"] == str(exits.ORPHANED)
    assert (
        given["ExecStopPost"]
        == f"""+/bin/sh -c 'test "$$EXIT_STATUS" != {exits.ORPHANED} || systemctl --no-block poweroff'"""
    )
    assert given["StartLimitAction"] == "poweroff"
    assert not {"SuccessAction", "FailureAction"} & given.keys(), "they are carried out at each restart as well"
    assert given["DynamicUser"] == "yes"
    assert given["ProtectSystem"] == "strict"
    assert {"MemoryMax", "TasksMax", "LimitNOFILE"} <= given.keys()
