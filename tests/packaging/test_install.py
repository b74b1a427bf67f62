"""Installed from a clean tree, dynwork hashes right: with the kernel where that can be built, in Python elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.system

OFFLINE = ("--verbose", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation")
HASHES = 1000
PROBE = f"""
import importlib.util, json, dynwork
from dynwork.kinds.sha512_chain import KIND
starter = KIND.start()
starter.update(b"abc")
state, done = starter.finish()
states, made = KIND.advance([state] * 5, [{HASHES} - done] * 5, 10**9, 60.0)
kernel = importlib.util.find_spec("dynwork.kinds._sha512chain")
print(json.dumps([dynwork.__file__, kernel is not None, KIND.path.name, made, [state.hex() for state in states]]))
"""
NO_COMPILER = {"PATH": "/nonexistent"}
NO_HEADERS = {"CC": "false"}  # a compiler that fails, as one does that does not find Python.h


class Answer(NamedTuple):
    """What an installed copy says of itself."""

    has_kernel: bool
    path: str
    states: list[str]


def python(*arguments: str | Path, cwd: Path, **variables: str) -> str:
    """Run this Python and return what it said; fail with that when it failed."""
    run = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout + run.stderr


def install(what: Path, target: Path, **variables: str) -> str:
    return python("-m", "pip", "install", *OFFLINE, "--target", target, what, cwd=what.parent, **variables)


def ask(installed: Path) -> Answer:
    """Hash with the copy that is in this folder."""
    answer = python("-c", PROBE, cwd=installed, PYTHONPATH=str(installed))
    where, has_kernel, path, made, states = json.loads(answer)
    assert Path(where).is_relative_to(installed), "another copy answered"
    assert made == [HASHES - 1] * 5
    return Answer(has_kernel, path, states)


def expected() -> list[str]:
    """Return what must have been computed, by hashlib alone."""
    state = b"abc"
    for _ in range(HASHES):
        state = hashlib.sha512(state).digest()
    return [state.hex()] * 5


@pytest.mark.usefixtures("kernel")
@pytest.mark.parametrize("compiler", [name for name in ("gcc", "clang") if shutil.which(name)])
def test_a_compiler_builds_the_kernel_without_a_warning_and_it_serves(
    compiler: str, clean_tree: Path, tmp_path: Path
) -> None:
    said = install(clean_tree, tmp_path / "installed", CC=compiler)
    assert f"{compiler} " in said
    assert [line for line in said.splitlines() if re.search(r"\.[ch]:\d+:\d+: warning: ", line)] == []
    answer = ask(tmp_path / "installed")
    assert answer.has_kernel
    assert answer.path != "python"
    assert answer.states == expected()


@pytest.mark.parametrize("lacking", [NO_COMPILER, NO_HEADERS], ids=["compiler", "headers"])
def test_without_a_compiler_or_headers_the_install_succeeds_says_so_and_the_python_twin_serves(
    lacking: dict[str, str], clean_tree: Path, tmp_path: Path
) -> None:
    said = install(clean_tree, tmp_path / "installed", **lacking)
    assert "the C kernel of dynwork was NOT built" in said
    assert "apt install gcc libc6-dev python3-dev" in said
    assert ask(tmp_path / "installed") == Answer(has_kernel=False, path="python", states=expected())


@pytest.mark.usefixtures("kernel")
def test_a_kernel_that_can_no_longer_be_built_is_not_left_behind(clean_tree: Path) -> None:
    """A stale one would hide that the compiler is missing, and hash with yesterday's sources."""
    kinds = clean_tree / "src" / "dynwork" / "kinds"
    build = ("setup.py", "build_ext", "--inplace")
    python(*build, cwd=clean_tree)
    assert len(list(kinds.glob("_sha512chain*.so"))) == 1
    python(*build, cwd=clean_tree, **NO_COMPILER)
    assert list(kinds.glob("_sha512chain*.so")) == []
    assert list((clean_tree / "build").rglob("*.so")) == []


@pytest.mark.usefixtures("kernel")
def test_the_sdist_has_all_that_builds_the_kernel_and_its_wheel_has_the_kernel_alone(
    clean_tree: Path, tmp_path: Path
) -> None:
    native = "src/dynwork/kinds/native"
    out = tmp_path / "out"
    python("-c", f"from setuptools import build_meta; build_meta.build_sdist({str(out)!r})", cwd=clean_tree)
    (sdist,) = out.iterdir()
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    sources = {f"{native}/{path.name}" for path in (clean_tree / native).iterdir()}
    assert sources | {"setup.py", "pyproject.toml", "LICENSE"} <= packed

    python("-m", "pip", "wheel", *OFFLINE, "--wheel-dir", out, sdist, cwd=tmp_path)
    (wheel,) = out.glob("*.whl")
    assert "-cp311-abi3-" in wheel.name
    content = zipfile.ZipFile(wheel).namelist()
    assert "dynwork/kinds/_sha512chain.abi3.so" in content
    assert [name for name in content if name.endswith((".c", ".h"))] == []
    package = {path.relative_to(clean_tree / "src").as_posix() for path in (clean_tree / "src").rglob("*py*")}
    assert {name for name in content if Path(name).suffix in {".py", ".pyi", ".typed"}} == package
    web = {f"dynwork/api/web/{path.name}" for path in (clean_tree / "src" / "dynwork" / "api" / "web").iterdir()}
    assert web <= set(content), "without them no API would start"

    install(wheel, tmp_path / "installed")
    assert ask(tmp_path / "installed").states == expected()
