"""The README's first command, as a newcomer runs it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dynwork.demo.show import MAX_WORKERS
from dynwork.demo.work import JOBS


@pytest.mark.system
@pytest.mark.timeout(300)
def test_the_demo_ends_well_with_every_hash_right_and_a_fleet_that_grew_and_shrank() -> None:
    demo = subprocess.run([sys.executable, "-m", "dynwork", "demo"], capture_output=True, text=True, timeout=280)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert f"{JOBS} of {JOBS}, by hashlib" in demo.stdout
    assert f"1, {MAX_WORKERS} at the most, 1 at the end" in demo.stdout
