"""The boot script: what is in it, what is not, that the tools of a machine take it, and what it does there."""

from __future__ import annotations

import hashlib
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dynwork.errors import ConfigurationError
from dynwork.orchestrator.fleet import userdata
from dynwork.orchestrator.fleet.userdata import BYTES_MAX, BootPlan, boot_script
from dynwork.settings import WorkerSettings
from dynwork.units import unit
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


# -- a boot -----------------------------------------------------------------------------------------------------------
TOOL = r"""#!/bin/bash
# Stands in for a tool of the machine: notes how it was called, fails if it is to, does the least that is needed.
said="$(basename "$0") $*"
echo "$said" >>"$MACHINE/calls"
case "$said" in *"${FAILS:-nothing}"*) exit 1 ;; esac
case "$said" in "aws "*) [ "${AWS_DEFAULT_REGION:-}" = eu-central-1 ] || exit 1 ;; esac
case "$said" in
    "aws s3 cp"*) cp -r "$MACHINE/s3/." . ;;
    "aws ssm"*) echo "$TOKEN" ;;
    *"-m venv"*) mkdir -p "${*: -1}/bin" && cp "$0" "${*: -1}/bin/python" ;;
esac
"""
REAL_TOOLS = ("basename", "cat", "chmod", "cp", "cut", "diff", "find", "mkdir", "sha256sum", "sort")
FILES = ("dynwork-0.1.0-py3-none-any.whl", "httpx-0.28.1-py3-none-any.whl", "requirements.txt")
TOKEN = "wrk_0123456789.abc~+/=-"


class PaperMachine:
    """A machine whose folders are below ``root``, and whose tools are stand-ins where they would change anything."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.release = root / "s3"
        self.settings = root / "etc/dynwork/worker.env"
        (root / "etc/systemd/system").mkdir(parents=True)
        (root / "bin").mkdir()
        for name in REAL_TOOLS:
            (root / "bin" / name).symlink_to(shutil.which(name) or name)
        for name in ("dnf", "aws", "systemctl", "python3.11"):
            tool = root / "bin" / name
            tool.write_text(TOOL)
            tool.chmod(0o755)
        self.release.mkdir()
        for name in FILES:
            (self.release / name).write_text(name)
        sums = [f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in FILES]
        (self.release / "SHA256SUMS").write_text("".join(sums))
        self.plan = replace(PLAN, release_sha256=hashlib.sha256("".join(sums).encode()).hexdigest())

    @property
    def calls(self) -> list[str]:
        return (self.root / "calls").read_text().splitlines()

    def boot(self, fails: str = "nothing", token: str = TOKEN) -> str:
        """Run the script; return what it told."""
        script = boot_script(self.plan, "our-id")
        assert set(re.findall(r"(?<![\w./])/\w+", script)) == {"/bin", "/dynwork", "/etc", "/opt", "/var"}
        script = re.sub(r"(?<![\w./])/(?=(?:etc|opt|var)/)", f"{self.root}/", script)
        told = {"PATH": str(self.root / "bin"), "MACHINE": str(self.root), "FAILS": fails, "TOKEN": token}
        bash = [shutil.which("bash") or "bash"]
        booted = subprocess.run(bash, input=script, env=told, capture_output=True, text=True, umask=0o022)
        assert (booted.returncode != 0) is ("systemctl poweroff" in self.calls)
        return booted.stdout + booted.stderr

    def is_off(self) -> bool:
        """Whether it ended itself, and no worker was ever started on it."""
        return self.calls[-1] == "systemctl poweroff" and not any("enable" in call for call in self.calls)


@pytest.fixture
def machine(tmp_path: Path) -> PaperMachine:
    return PaperMachine(tmp_path)


def test_a_boot_ends_with_a_worker_that_starts_and_a_machine_that_stays(machine: PaperMachine) -> None:
    assert machine.boot() == ""
    assert machine.calls[-1] == "systemctl enable --now dynwork-worker.service"
    unit_file = machine.root / "etc/systemd/system/dynwork-worker.service"
    assert unit_file.read_text().replace(f"{machine.root}/", "/") == unit("worker", ends_machine=True)
    assert f"DYNWORK_WORKER_TOKEN={TOKEN}\n" in machine.settings.read_text()


def test_nobody_else_on_the_machine_reads_the_secret_and_the_worker_reads_its_code(machine: PaperMachine) -> None:
    machine.boot()
    assert stat.S_IMODE(machine.settings.stat().st_mode) == 0o600
    assert stat.S_IMODE(machine.settings.parent.stat().st_mode) == 0o700
    for path in (machine.root / "opt/dynwork", *(machine.root / "opt/dynwork").rglob("*")):
        assert path.stat().st_mode & 0o005 == 0o005, "it runs under a user of its own"


@pytest.mark.parametrize(
    "step",
    [
        "dnf install",
        "aws s3 cp",
        "-m venv",
        "--require-hashes",
        "--no-deps",
        "aws ssm get-parameter",
        "daemon-reload",
    ],
)
def test_a_step_that_fails_ends_the_machine_and_is_named_by_its_line(machine: PaperMachine, step: str) -> None:
    told = machine.boot(fails=step)
    assert machine.is_off()
    lines = boot_script(machine.plan, "our-id").splitlines()
    (number,) = re.findall(r"^dynwork: the boot failed in line (\d+)$", told, re.MULTILINE)
    assert step in lines[int(number) - 1]


def test_a_worker_that_cannot_be_started_ends_the_machine(machine: PaperMachine) -> None:
    machine.boot(fails="enable --now")
    assert machine.calls[-1] == "systemctl poweroff"


def tampered(release: Path) -> None:
    (release / FILES[0]).write_text("something else")


def missing(release: Path) -> None:
    (release / FILES[1]).unlink()


def added(release: Path) -> None:
    (release / "zzz-1.0-py3-none-any.whl").write_text("nobody listed it")


def added_below(release: Path) -> None:
    (release / "httpx").mkdir()
    (release / "httpx/SHA256SUMS").write_text("nobody listed it")


def resealed(release: Path) -> None:
    tampered(release)
    sums = [f"{hashlib.sha256((release / name).read_bytes()).hexdigest()}  {name}\n" for name in FILES]
    (release / "SHA256SUMS").write_text("".join(sums))


@pytest.mark.parametrize("change", [tampered, missing, added, added_below, resealed])
def test_of_a_release_that_is_not_the_one_nothing_is_installed(
    machine: PaperMachine, change: Callable[[Path], None]
) -> None:
    change(machine.release)
    machine.boot()
    assert machine.is_off()
    assert not [call for call in machine.calls if call.startswith("python")]


def test_a_list_with_a_line_that_is_none_is_refused_even_under_the_right_hash(machine: PaperMachine) -> None:
    listed = machine.release / "SHA256SUMS"
    listed.write_text(listed.read_text() + "not a hash\n")
    machine.plan = replace(machine.plan, release_sha256=hashlib.sha256(listed.read_bytes()).hexdigest())
    machine.boot()
    assert machine.is_off()


@pytest.mark.parametrize("token", ["", "two words", "a\nDYNWORK_WORKER_SLOTS=64", "quo'te", "do$llar", "back\\slash"])
def test_a_token_that_an_environment_file_would_not_keep_is_written_nowhere(machine: PaperMachine, token: str) -> None:
    assert "the token has characters" in machine.boot(token=token)
    assert machine.is_off()
    assert "TOKEN" not in machine.settings.read_text()
    assert "SLOTS" not in machine.settings.read_text()
