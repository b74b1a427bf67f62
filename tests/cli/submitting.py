"""``dynwork submit`` as it is called in these tests, and what is looked for in what it shows."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
from typer.testing import CliRunner

from dynwork.cli import app

API = "http://api.test"
DOWN = httpx.ConnectError("refused")


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["submit", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def rows(out: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(out)
    return found


def digest(file: str) -> str:
    return hashlib.sha512(Path(file).read_bytes()).hexdigest()


def resume_of(told: str) -> str:
    assert "dynwork: not complete; to go on where it was: dynwork submit --resume " in told
    return told.split("--resume ")[1].split()[0]
