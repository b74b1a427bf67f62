"""scripts/verify-aws.sh: each check says ok of a rollout that is as it should be, and FAILED of one that is not.

AWS is a command line that answers what these tests say; the same script against a lab: :mod:`tests.aws.test_rollout`.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.aws.lab.image import ROOT

SCRIPT = ROOT / "scripts" / "verify-aws.sh"
CHECKS = [line.split('"')[1] for line in SCRIPT.read_text().splitlines() if line.startswith('check "')]


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # the name is the standard library's
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Ready) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def well(url: str) -> dict[str, str]:
    """What AWS answers of a rollout that is as it should be: by a pattern of the call, the first that fits."""
    may = "*simulate-principal-policy*"
    return {
        "*get-caller-identity*": "arn:aws:sts::123456789012:assumed-role/some/one",
        "*describe-stacks*StackStatus*": "UPDATE_COMPLETE\tprod",
        "*describe-stacks*Url*": url,
        "*describe-stacks*Apis*": "arn:apis",
        "*describe-stacks*Database*": "db-1",
        "*describe-stacks*CertificateArn*": "None",
        "*describe-stacks*HighAvailability*": "true",
        "*describe-stack-resources*WorkerTemplate*": "lt-1",
        "*describe-stack-resources*WorkerRole*": "worker-role",
        "*describe-stack-resources*OrchestratorRole*": "orchestrator-role",
        "*get-role*": "arn:aws:iam::123456789012:role/some",
        "*describe-instances*AvailabilityZone*Values=api*": "zone-a\tzone-b",
        "*describe-instances*PublicIpAddress*": "None",
        "*describe-instances*InstanceLifecycle*": "spot",
        "*describe-instances*InstanceId*Values=api*": "i-1\ti-2",
        "*describe-instances*InstanceId*": "i-9",
        "*describe-volumes*encrypted*": "",
        f"{may}ssm:GetParameter*/worker-token*": "allowed",
        f"{may}ec2:RunInstances*ec2:LaunchTemplate*launch-template/lt-1*aws:RequestTag/dynwork:stack*prod*": "allowed",
        f"{may}ec2:TerminateInstances*aws:ResourceTag/dynwork:stack*prod*dynwork:role*worker*": "allowed",
        may: "implicitDeny",
        "*describe-log-streams*name-prefix api *": "api i-1",
        "*describe-log-streams*name-prefix orchestrator *": "orchestrator i-9",
        "*describe-instance-information*": "Online",
        "*get-console-output*": "it boots",
        "*terminate-instances*--instance-ids i-1": "",
        "*describe-target-health*": "i-2\thealthy\ni-3\thealthy",
        "*reboot-db-instance*db-1*--force-failover*": "",
        "*describe-db-instances*db-1*AvailabilityZone*": "$([ -e rebooted ] && echo zone-b || echo zone-a)",
    }


def verify(folder: Path, answers: Mapping[str, str | None], *options: str) -> subprocess.CompletedProcess[str]:
    """Run the script where AWS answers so; ``None``, or a call that nobody expects, is refused."""
    refusal = "echo 'An error occurred (AccessDenied): no' >&2; exit 254"
    text = '#!/bin/bash\ncd "$(dirname "$0")"\n[[ $* != *reboot-db-instance* ]] || touch rebooted\ncase "$*" in\n'
    for pattern, answer in answers.items():
        pattern = shlex.quote(pattern).replace("*", "'*'").replace("?", "'?'")
        said = f'"{answer}"' if "$" in (answer or "") else shlex.quote(answer or "")
        text += f"{pattern}) {refusal if answer is None else f'echo {said}'} ;;\n"
    program = folder / "aws"
    program.write_text(f"{text}*) {refusal} ;;\nesac\n")
    program.chmod(0o755)
    (folder / "sleep").write_text("#!/bin/bash\nexec /bin/sleep 0.01\n")
    (folder / "sleep").chmod(0o755)
    return subprocess.run(
        [SCRIPT, "--stack", "prod", "--region", "eu-central-1", "--patience", "1", *options],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_each_check_of_a_rollout_that_is_as_it_should_be_is_ok(tmp_path: Path, url: str) -> None:
    done = verify(tmp_path, well(url), "--failover")
    assert (done.stdout.splitlines(), done.stderr) == (
        [
            *(f"ok      {what}" for what in CHECKS),
            "ok      the database fails over within 1 s",
            "all of it is as it should be",
        ],
        "",
    )
    assert done.returncode == 0


REFUSED = None
"""AWS refuses the call."""
MAY = "*simulate-principal-policy*"
WRONG: list[tuple[str, str, str | None, str]] = [
    ("the APIs are in two zones", "*AvailabilityZone*Values=api*", "zone-a\tzone-a", "all in zone-a"),
    ("no machine has a public address", "*PublicIpAddress*", "None\t203.0.113.7", "203.0.113.7"),
    ("every disk is encrypted", "*describe-volumes*", "vol-1", "vol-1"),
    ("a worker may read its token", f"{MAY}/worker-token*", "explicitDeny", "explicitDeny"),
    ("a worker may not read the database's password", f"{MAY}/database-password*", "allowed", "allowed"),
    ("an orchestrator may launch from its template, with its tag", f"{MAY}RequestTag*", "implicitDeny", "implicitDeny"),
    ("an orchestrator may not launch without it", f"{MAY}RunInstances*instance/? --query*", "allowed", "allowed"),
    ("an orchestrator may end a worker", f"{MAY}ResourceTag*", "implicitDeny", "implicitDeny"),
    ("an orchestrator may end nothing else", f"{MAY}instance/i-0 --query*", "allowed", "allowed"),
    ("the APIs' logs arrive", "*describe-log-streams*name-prefix api *", "None", "no stream of 'api'"),
    (
        "the orchestrator's logs arrive",
        "*describe-log-streams*name-prefix orchestrator *",
        "None",
        "no stream of 'orchestrator' in the log group /dynwork/prod",
    ),
    ("Session Manager reaches the APIs", "*describe-instance-information*=i-2*", "ConnectionLost", "i-2: Connection"),
    ("Session Manager reaches the orchestrator", "*describe-instance-information*=i-9*", "None", "i-9: not known"),
    ("a worker's console output can be read", "*get-console-output*", "None", "there is none of i-9 yet"),
    (
        "an API that dies is replaced, and the address answers meanwhile",
        "*describe-target-health*",
        "i-1\thealthy\ni-2\thealthy",
        "its group has not replaced i-1 within 2 s",
    ),
    ("the database fails over within 1 s", "*describe-db-instances*", "zone-a", "it is in zone-a, as before"),
]
UNKNOWN: list[tuple[str, str, str | None, str]] = [
    ("the APIs are in two zones", "*AvailabilityZone*Values=api*", "", "no api runs"),
    ("no machine has a public address", "*PublicIpAddress*", REFUSED, "not permitted to do 'ec2 describe-instances'"),
    ("every disk is encrypted", "*describe-volumes*", REFUSED, "not permitted"),
    ("a worker may read its token", f"{MAY}/worker-token*", REFUSED, "not permitted"),
    ("a worker may not read the database's password", f"{MAY}/database-password*", REFUSED, "not permitted"),
    ("an orchestrator may launch from its template, with its tag", f"{MAY}RequestTag*", REFUSED, "not permitted"),
    ("an orchestrator may not launch without it", f"{MAY}RunInstances*instance/? --query*", REFUSED, "not permitted"),
    ("an orchestrator may end a worker", f"{MAY}ResourceTag*", REFUSED, "not permitted"),
    ("an orchestrator may end nothing else", f"{MAY}instance/i-0 --query*", REFUSED, "not permitted"),
    ("the APIs' logs arrive", "*describe-log-streams*name-prefix api *", REFUSED, "not permitted"),
    ("the orchestrator's logs arrive", "*describe-log-streams*name-prefix orchestrator *", REFUSED, "not permitted"),
    ("Session Manager reaches the APIs", "*describe-instance-information*=i-2*", REFUSED, "not permitted"),
    ("a worker's console output can be read", "*get-console-output*", REFUSED, "not permitted"),
    ("an API that dies is replaced, and the address answers meanwhile", "*terminate*", REFUSED, "not permitted"),
    ("the database fails over within 1 s", "*reboot-db-instance*", REFUSED, "not permitted"),
]


@pytest.mark.parametrize("odd", [WRONG, UNKNOWN], ids=["wrong", "unknown"])
def test_what_is_not_as_it_should_be_or_cannot_be_seen_fails_its_check_and_no_other(
    tmp_path: Path, url: str, odd: list[tuple[str, str, str | None, str]]
) -> None:
    answers = {call: answer for _, call, answer, _ in odd}
    done = verify(tmp_path, {**answers, **well(url), **answers}, "--failover")
    failed = [line.removeprefix("FAILED  ") for line in done.stdout.splitlines() if not line.startswith("ok ")]
    assert len(failed) == len(odd), done.stdout
    for line, (what, _, _, why) in zip(failed, odd, strict=True):
        assert line.startswith(what)
        assert why in line.removeprefix(what)
    assert done.returncode == 1


def test_an_address_at_which_nobody_answers_fails_both_checks_of_it(tmp_path: Path) -> None:
    done = verify(tmp_path, well("http://127.0.0.1:9"))
    address, dies = [line for line in done.stdout.splitlines() if not line.startswith("ok ")]
    assert address.startswith("FAILED  the address answers: curl: (7) ")
    assert dies == (
        "FAILED  an API that dies is replaced, and the address answers meanwhile:"
        " 1 of 1 requests were not answered meanwhile, although repeated for 0 s"
    )
    assert done.returncode == 1


def test_a_database_in_one_zone_is_not_asked_to_fail_over(tmp_path: Path, url: str) -> None:
    one_zone = {"*describe-stacks*HighAvailability*": "false", "*reboot-db-instance*": REFUSED}
    done = verify(tmp_path, {**well(url), **one_zone}, "--failover")
    assert "note    the database is in one zone (no --ha): it cannot fail over" in done.stdout
    assert (done.returncode, "FAILED" in done.stdout) == (0, False)


@pytest.mark.parametrize("options", [("--all",), ("--help",), ("--stack",), ("--patience", "1.5")])
def test_options_that_cannot_be_end_it_before_anything_is_asked(tmp_path: Path, options: tuple[str, ...]) -> None:
    (tmp_path / "aws").write_text(f"#!/bin/bash\ntouch {tmp_path}/asked\n")
    (tmp_path / "aws").chmod(0o755)
    done = subprocess.run(
        ["./verify-aws.sh", "--region", "eu-central-1", "--failover", *options],
        cwd=SCRIPT.parent,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert done.stderr
    assert not (tmp_path / "asked").exists()


def test_without_spot_machines_there_is_a_note_and_no_failure(tmp_path: Path, url: str) -> None:
    done = verify(tmp_path, {**well(url), "*describe-instances*InstanceLifecycle*": "None"})
    assert "note    no worker is a spot machine" in done.stdout
    assert (done.returncode, "FAILED" in done.stdout, "fails over" in done.stdout) == (0, False, False)


def test_a_stack_that_is_not_there_is_named_and_nothing_is_checked(tmp_path: Path, url: str) -> None:
    nothing = {"*describe-stacks*": "ROLLBACK_COMPLETE\tanother", **well(url)}
    done = verify(tmp_path, nothing)
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is a stack 'prod' in eu-central-1 that is not dynwork's" in done.stderr
