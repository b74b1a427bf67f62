"""Which store the settings mean."""

from pathlib import Path

import pytest

from dynwork.compose import _orchestrator
from dynwork.errors import ConfigurationError
from dynwork.settings import OrchestratorSettings


def test_the_store_is_a_file_in_the_data_directory_unless_told_otherwise(tmp_path: Path) -> None:
    path = _orchestrator._sqlite_path
    assert path(OrchestratorSettings(data_dir=tmp_path)) == tmp_path / "dynwork.db"
    assert path(OrchestratorSettings(store_url="sqlite:////var/x.db")) == Path("/var/x.db")
    assert path(OrchestratorSettings(store_url="sqlite:///x.db")) == Path("x.db")


@pytest.mark.parametrize("url", ["postgresql://user:hidden@host/db", "sqlite:///", "x.db"])
def test_a_store_of_another_engine_is_refused_without_repeating_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        _orchestrator._sqlite_path(OrchestratorSettings(store_url=url))
    assert "hidden" not in refusal.value.detail
