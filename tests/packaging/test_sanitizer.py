"""The sanitized build finds what it is there for: the same script, the same flags, and a kernel with mistakes in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("kernel")]

CARELESS = Path(__file__).with_name("careless.c")


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ("read_past_the_end(bytes(64))", "AddressSanitizer: heap-buffer-overflow"),
        ("overflow(1)", "runtime error: signed integer overflow"),
        ("overflow(0)", None),
    ],
)
def test_the_sanitized_run_ends_at_a_mistake_and_only_there(call: str, found: str | None, clean_tree: Path) -> None:
    native = clean_tree / "src" / "dynwork" / "kinds" / "native"
    shutil.rmtree(native)
    native.mkdir()
    shutil.copy(CARELESS, native)
    test = clean_tree / "test_careless.py"
    test.write_text(f"from dynwork.kinds import _sha512chain\ndef test_call(): _sha512chain.{call}\n")

    run = subprocess.run(
        ["scripts/sanitize.sh", "-p", "no:cacheprovider", test.name],
        cwd=clean_tree, env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True,
    )  # fmt: skip
    if found is None:
        assert run.returncode == 0, run.stdout + run.stderr
    else:
        assert run.returncode != 0
        assert found in run.stderr
