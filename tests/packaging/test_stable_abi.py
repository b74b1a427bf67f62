"""The kernel that is installed here is good for every CPython from 3.11 on: one file, whatever the version."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from abi3info import DATAS, FUNCTIONS  # type: ignore[import-untyped]
from abi3info.models import PyVersion, Symbol  # type: ignore[import-untyped]
from tests.needs import needed

FIRST = PyVersion(3, 11)
PROBE = """
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("_sha512chain", sys.argv[1])
kernel = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kernel)
states, remaining, steps = kernel.advance(bytes(5 * 64), [1, 2, 3, 4, 0], 100, 60.0)
print(json.dumps([sys.version_info[:2], states.hex(), remaining, steps]))
"""


def symbols(library: Path, which: str) -> set[str]:
    listed = subprocess.run(["nm", "--dynamic", which, library], check=True, capture_output=True, text=True).stdout
    return {line.split()[-1].partition("@")[0] for line in listed.splitlines()}


def test_only_what_the_stable_abi_of_3_11_has_is_asked_of_python(kernel: Path) -> None:
    asked = {name for name in symbols(kernel, "--undefined-only") if re.match("_?Py", name)}
    assert "PyModuleDef_Init" in asked
    stable = {**FUNCTIONS, **DATAS}
    assert {name for name in asked if Symbol(name) not in stable or stable[Symbol(name)].added > FIRST} == set()


def test_only_the_module_itself_is_offered_to_others(kernel: Path) -> None:
    assert symbols(kernel, "--defined-only") == {"PyInit__sha512chain"}


def other_pythons() -> list[str]:
    """Find the newer CPythons of this machine, on the path and where pyenv keeps them."""
    on_path = [shutil.which(f"python3.{minor}") for minor in range(12, 20)]
    kept = Path.home().glob(".pyenv/versions/3.*/bin/python3")
    fit = "import sys; sys.exit(sys.implementation.name != 'cpython' or sys.version_info < (3, 12))"
    candidates = [*filter(None, on_path), *map(str, kept)]
    return [it for it in candidates if subprocess.run([it, "-c", fit], capture_output=True).returncode == 0]


def test_the_same_file_hashes_right_in_newer_pythons(kernel: Path) -> None:
    chain = [bytes(64)]
    for _ in range(4):
        chain.append(hashlib.sha512(chain[-1]).digest())
    expected = "".join(chain[steps].hex() for steps in (1, 2, 3, 4, 0))
    for python in needed(other_pythons(), "there is no CPython here that is newer than 3.11"):
        run = subprocess.run([python, "-c", PROBE, kernel], capture_output=True, text=True)
        assert run.returncode == 0, f"{python}: {run.stderr}"
        version, states, remaining, steps = json.loads(run.stdout)
        assert tuple(version) != sys.version_info[:2]
        assert (states, remaining, steps) == (expected, [0] * 5, 10)
