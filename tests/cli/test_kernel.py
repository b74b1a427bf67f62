"""``dynwork kernel``: what it says of the code that hashes on this machine."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from dynwork.cli import app, kernel
from dynwork.kinds import measure, sha512_chain
from dynwork.kinds.measure import Speeds
from dynwork.kinds.sha512_chain import KIND, Path

PYTHON, SCALAR, AVX2 = Path("python", 1), Path("scalar", 1), Path("avx2", 4)


def run(*arguments: str) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["kernel", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def on_paper(monkeypatch: pytest.MonkeyPatch, *usable: Path, error: ImportError | None = None) -> None:
    """Be a machine that can take these paths, best first."""
    monkeypatch.setattr(sha512_chain, "KIND", SimpleNamespace(name="sha512-chain", path=usable[0]))
    monkeypatch.setattr(sha512_chain, "paths", lambda: usable)
    monkeypatch.setattr(measure, "measure", lambda *_: Speeds(5.2e6, 10.4e6, 1.4e6, 3.71, 7.43))

    def load(_: str) -> None:
        if error:
            raise error

    monkeypatch.setattr(kernel, "import_module", load)


def test_the_path_its_lanes_and_what_else_is_usable_are_shown_with_the_speeds(monkeypatch: pytest.MonkeyPatch) -> None:
    on_paper(monkeypatch, AVX2, SCALAR, PYTHON)
    out, told = run()
    assert [" ".join(line.split()) for line in out.splitlines()] == [
        "path avx2",
        "lanes 4",
        "usable here avx2 (4 lanes), scalar (1 lane), python (1 lane)",
        "one chain 5.20 M steps/s, 3.7 times the Python loop",
        "4 chains 10.40 M steps/s, 7.4 times the Python loop",
        "Python loop 1.40 M steps/s",
    ]
    assert told == ""


def test_as_json_the_same_is_said_for_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    on_paper(monkeypatch, AVX2, PYTHON)
    out, told = run("--json")
    assert json.loads(out) == {
        "kind": "sha512-chain",
        "path": "avx2",
        "lanes": 4,
        "usable": [{"name": "avx2", "lanes": 4}, {"name": "python", "lanes": 1}],
        "chain_speed": 5.2e6,
        "lanes_speed": 10.4e6,
        "loop_speed": 1.4e6,
        "chain_times_loop": 3.71,
        "lanes_times_loop": 7.43,
        "advice": None,
    }
    assert told == ""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModuleNotFoundError(), "install a C compiler and Python's headers, then install dynwork again"),
        (
            ImportError("GLIBC_2.99 not found"),
            "with a C compiler and Python's headers. The reason is: GLIBC_2.99 not found",
        ),
        (None, "please report it"),
    ],
)
def test_when_the_python_twin_serves_it_is_said_why_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, error: ImportError | None, words: str
) -> None:
    on_paper(monkeypatch, PYTHON, error=error)
    out, told = run()
    assert "path python" in " ".join(out.split())
    assert told.startswith("dynwork: the C kernel is ")
    assert words in told
    out, again = run("--json")
    assert (again, told) == (told, f"dynwork: {json.loads(out)['advice']}\n")


def test_what_is_measured_is_the_kind_that_workers_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "SECONDS", 0.03)
    facts = json.loads(run("--json")[0])
    assert (facts["path"], facts["lanes"]) == KIND.path
    assert [(path["name"], path["lanes"]) for path in facts["usable"]] == list(sha512_chain.paths())
    assert min(facts[name] for name in ("chain_speed", "lanes_speed", "loop_speed")) > 0
