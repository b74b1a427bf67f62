"""scripts/aws/machines.sh: an outdated machine makes place for a new one, unless its group has ended it already."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.aws.lab.image import ROOT

GROUP = r"""
. scripts/aws/ask.sh
. scripts/aws/machines.sh
timeout_s=1 left='i-1 i-2 i-3'
group_of() { [ "$2" = MinSize ] && echo 2 || echo 3; }
outdated() { tr ' ' '\n' <<<"$left"; }
outdated_and_unhealthy() { :; }
wait_for() { :; }
aws_() {
    case "$*" in
    *terminate*i-1*) left=i-3 ;; # and its group ends i-2, to have as many in each zone
    *terminate*) left='' ;;
    esac
    echo "${*:2}" >>"$scratch/calls"
}
replace_outdated API group targets
"""


def test_what_its_group_has_ended_meanwhile_is_not_ended_again(tmp_path: Path) -> None:
    script = f"set -euo pipefail; region=eu-central-1 stack=prod scratch={tmp_path}\n{GROUP}"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["==> replacing the API i-1", "==> replacing the API i-3"]
    ended = [call.split()[2] for call in (tmp_path / "calls").read_text().splitlines() if call.startswith("terminate")]
    assert ended == ["i-1", "i-3"]
