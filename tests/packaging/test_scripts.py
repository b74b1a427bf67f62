"""The shell scripts of the project are read by ShellCheck."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = (".ci", "deploy", "scripts", "tests")


def scripts() -> list[Path]:
    """Every file here that bash or sh is to run."""
    files = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*")) if file.is_file()]
    return [file for file in files if file.read_bytes().startswith((b"#!/usr/bin/env bash", b"#!/bin/"))]


def test_shellcheck_finds_nothing() -> None:
    found = scripts()
    assert {"init.sh", "release.sh", "verify-aws.sh", "boot.sh", "run"} <= {file.name for file in found}
    checked = subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), "--external-sources", *found], capture_output=True, text=True
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
