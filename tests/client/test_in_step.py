"""The synchronous client is what the generator makes of the asynchronous one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dynwork

ROOT = Path(__file__).parents[2]


def public(client: type) -> set[str]:
    return {name for name in vars(client) if not name.startswith("_")}


def test_the_twins_are_in_step() -> None:
    checked = subprocess.run(
        [sys.executable, ROOT / "scripts" / "sync_client.py", "--check"], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_they_have_the_same_methods() -> None:
    assert public(dynwork.Client) == public(dynwork.AsyncClient) - {"aclose"} | {"close"}


def test_roles_do_not_load_the_client() -> None:
    code = "import dynwork, sys; assert 'httpx' not in sys.modules; dynwork.Client; assert 'httpx' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
