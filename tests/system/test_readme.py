"""The README's commands, word for word, against a real cluster."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dynwork.testing.cluster import Cluster
from dynwork.testing.waiting import wait_until

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_every_command_of_the_readme_does_what_it_says(tmp_path: Path) -> None:
    export, put, look, results, fleet = BLOCKS
    assert export.startswith("export DYNWORK_URL=http://127.0.0.1:8000")
    with Cluster(tmp_path) as cluster:
        variables = {**os.environ, "DYNWORK_URL": cluster.api_urls[0]}

        def answers(block: str) -> list[Any]:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block], cwd=ROOT, env=variables, capture_output=True, timeout=60
            )
            assert done.returncode == 0, done.stderr
            return [json.loads(text) for text in re.split(rb"(?<=[}\]])(?=[{\[])", done.stdout)]

        (accepted,) = answers(put)
        assert answers(put) == [accepted], "the same key is the same job"

        def finished() -> bool:
            (job,) = answers(look)
            assert job["job_id"] == accepted["job_id"]
            return bool(job["state"] == "succeeded")

        wait_until(finished, "the job of the README")
        pulled, followed = answers(results)
        assert accepted["job_id"] in json.dumps(pulled)
        assert accepted["job_id"] in json.dumps(followed["results"])
        stats, workers, cancelled = answers(fleet)
        assert stats["dead"] == 0
        assert workers["max"] == 4
        assert cancelled["state"] == "cancelled"
