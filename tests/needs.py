"""What a test needs of the machine that it runs on, and not every machine has. Nothing else skips a test while it runs.

CI installs all of it that can be installed; it shows what was skipped and why, and fails for a reason that is not in
.ci/allowed-skips.
"""

from __future__ import annotations

import shutil
from typing import TypeVar

import pytest

T = TypeVar("T")


def needed(found: T | None, lacking: str) -> T:
    """Return what was found; if that is nothing, skip the test, for a reason that says what is lacking."""
    if not found:
        pytest.skip(lacking)
    return found


def program(name: str, package: str) -> str:
    """Return where a program is; ``package``: what installs it on Debian."""
    return needed(shutil.which(name), f"there is no {name} here: apt install {package}")
