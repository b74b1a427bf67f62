"""The commands of the README and of the tutorial, word for word, against a real cluster."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dynwork import Client
from dynwork.testing.cluster import Cluster
from dynwork.testing.waiting import wait_until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("readme")]

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


@pytest.mark.timeout(300)
def test_every_command_of_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "tutorial.md").read_text()
    first, *blocks = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    activate, export, status = first.strip().splitlines()
    assert (activate, export) == ("source .venv/bin/activate", "export DYNWORK_URL=http://127.0.0.1:8000")
    with Cluster(tmp_path) as cluster:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        variables = {**os.environ, "DYNWORK_URL": cluster.api_urls[0], "DYNWORK_DATA_DIR": str(tmp_path), "PATH": path}
        script = "\n".join([status, *(f"echo '<<<{number}>>>'\n{block}" for number, block in enumerate(blocks))])
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=ROOT,
            env=variables,
            capture_output=True,
            timeout=240,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        _, waited, plain, folder, before, after = re.split(r"<<<\d+>>>\n", done.stdout)
        assert "succeeded" in waited
        assert '"state":"succeeded"' in plain
        assert folder.count("succeeded") > 40, "every page of the documentation"
        ended = json.loads(after[after.rindex('{"job_id"') :])
        assert ended["state"] == "succeeded"
        assert ended["attempts"] == 0, "what happens to machines is no fault of the work"

        def done_in(text: str) -> int:
            return int(re.findall(r"done\s+([\d,]+)", text)[0].replace(",", ""))

        assert 0 < done_in(before) <= done_in(after)
        with Client(urls=cluster.api_urls) as client:
            assert client.job(ended["job_id"]).hash == ended["hash"]


@pytest.mark.parametrize(("page", "lines"), [("docs/tutorial.md", 1), ("README.md", 2)])
def test_the_python_on_the_page_runs(tmp_path: Path, page: str, lines: int) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    with Cluster(tmp_path) as cluster:
        variables = {**os.environ, "DYNWORK_URL": cluster.api_urls[0]}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, timeout=60, text=True)
        assert done.returncode == 0, done.stderr
        said = done.stdout.splitlines()
        assert len(said) >= lines
        assert all(re.fullmatch(r"(docs/\S+ )?[0-9a-f]{128}", line) for line in said)
