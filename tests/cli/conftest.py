"""An API in memory for the command line, and a folder to be handed in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import respx
from tests.cli.submitting import API

from dynwork.testing.public_api import PublicApi


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DYNWORK_URL", API)
    monkeypatch.setenv("DYNWORK_PATIENCE_S", "0")
    monkeypatch.setenv("DYNWORK_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def api() -> Iterator[PublicApi]:
    api = PublicApi()
    with respx.mock:
        respx.route(host="api.test").mock(side_effect=api)
        yield api


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty files, a few of them below."""
    folder = tmp_path / "folder"
    for number in range(30):
        file = folder / ("below" if number % 5 == 0 else ".") / f"{number:02}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"file %d" % number)
    return folder
