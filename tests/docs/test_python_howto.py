"""The code in the how-to for Python runs, from top to bottom, and prints what it says."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
import respx

from dynwork.testing.public_api import PublicApi

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "python.md"


def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DYNWORK_URL", "http://api.test")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "buffers").mkdir()
    (tmp_path / "buffers" / "one").write_bytes(b"one")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    api, names = PublicApi(per_look=1000), {"__name__": "page"}
    with respx.mock:
        respx.route(host="api.test").mock(side_effect=api)
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), names)
    printed = capsys.readouterr().out
    assert len(blocks) == 6
    assert f"buffers/one {hashlib.sha512(b'one').hexdigest()}" in printed
    assert printed.count("succeeded") == 50
    assert (tmp_path / "results.cursor").exists() is False, "its first page was not consumed to the end"
