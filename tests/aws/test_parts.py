"""Steps of scripts/init.sh by themselves, where no cloud can be brought into the state that they are for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.aws.lab.image import ROOT


def run(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Run a text in the midst of the script's functions, of which it may have put others in the place of some."""
    parts = "".join(f". scripts/aws/{name}.sh\n" for name in ("ask", "stack", "machines"))
    known = f"region=eu-central-1 stack=prod scratch={folder} timeout_s=1"
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{known}\n{parts}{text}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


GROUP = r"""
left='i-1 i-2 i-3'
group_of() { [ "$2" = MinSize ] && echo 2 || echo 3; }
outdated() { tr ' ' '\n' <<<"$left"; }
outdated_and_unhealthy() { :; }
aws_() {
    case "$*" in
    *terminate*) left=${left#* } ;;
    esac
    echo "${*:2}" >>"$scratch/calls"
}
"""
BEFORE = "wait_for() { [[ $2 != 'the old API'* ]] || left=i-3; }"
"""A group that ends i-2 by itself, as soon as i-1 is gone."""
MEANWHILE = "wait_for() { [[ $left != i-2* || $2 != 'a new'* ]] || left=i-3; }"
"""One that ends i-2 while it starts what is to come in its place."""


@pytest.mark.parametrize(("when", "begun"), [(BEFORE, [1, 3]), (MEANWHILE, [1, 2, 3])])
def test_what_its_group_has_ended_is_not_ended_again(tmp_path: Path, when: str, begun: list[int]) -> None:
    done = run(tmp_path, f"{GROUP}{when}\nreplace_outdated API group targets")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"==> replacing the API i-{number}" for number in begun]
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split()[2] for call in calls if call.startswith("terminate")] == ["i-1", "i-3"]
    assert calls[-1] == "set-desired-capacity --auto-scaling-group-name group --desired-capacity 2"


def test_a_stack_that_is_being_removed_is_asked_for_its_options_while_it_is_there(tmp_path: Path) -> None:
    text = """
    state=DELETE_IN_PROGRESS
    keep_options() { echo "asked in $state"; }
    wait_for() { state=NONE; }
    look_at_stack() { :; }
    mend_stack
    """
    done = run(tmp_path, text)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "asked in DELETE_IN_PROGRESS")


@pytest.mark.parametrize(
    ("status", "said", "why"),
    [
        (
            "CREATE_IN_PROGRESS",
            "Failed to create/update the stack. Run the following",
            "AWS is still at work on the stack",
        ),
        (
            "ROLLBACK_COMPLETE",
            "Failed to create/update the stack. Run the following",
            "could not be deployed: Nat: full.",
        ),
        (
            "UPDATE_ROLLBACK_COMPLETE",
            "An error occurred (AccessDenied): no",
            "not permitted to do 'cloudformation deploy'",
        ),
    ],
)
def test_why_a_stack_was_not_deployed(tmp_path: Path, status: str, said: str, why: str) -> None:
    (tmp_path / "deploy").write_text(said)
    text = f"status_of_stack() {{ echo {status}; }}\nfirst_failure() {{ echo 'Nat: full'; }}\nwhy_not_deployed"
    done = run(tmp_path, text)
    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    assert why in line


def test_when_nobody_can_say_how_the_stack_is_there_is_one_sentence_about_that(tmp_path: Path) -> None:
    (tmp_path / "deploy").write_text("Failed to create/update the stack. Run the following")
    done = run(tmp_path, "try() { not_done 'ExpiredToken' describe-stacks; }\nwhy_not_deployed")
    assert done.returncode != 0
    (line,) = done.stderr.splitlines()
    assert "AWS does not accept these credentials" in line
