"""The kernel that is installed here, and a clean tree to build another from."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.needs import needed

ROOT = Path(__file__).parents[2]


@pytest.fixture
def kernel() -> Path:
    """Return where the kernel is; skip where none could be built. CI fails when it is not there."""
    spec = importlib.util.find_spec("dynwork.kinds._sha512chain")
    return Path(needed(spec.origin if spec else None, "the kernel was not built: docs/howto/build.md"))


@pytest.fixture
def clean_tree(tmp_path: Path) -> Path:
    """Copy what git would keep of this project, and nothing that was built in it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    tree = tmp_path / "clean"
    for name in listed.stdout.rstrip("\0").split("\0"):
        if (ROOT / name).exists():  # else it was deleted, which is not committed yet
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    return tree
