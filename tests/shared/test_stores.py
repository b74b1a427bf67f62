"""Which store the settings mean, and the commands that look after it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dynwork.cli import app
from dynwork.compose import stores
from dynwork.errors import ConfigurationError, StoreLockedError
from dynwork.orchestrator.store.postgres import PostgresStore
from dynwork.orchestrator.store.sqlite import SqliteStore
from dynwork.orchestrator.store.values import Rules
from dynwork.settings import StoreSettings


def settings_of(url: str) -> StoreSettings:
    return StoreSettings.model_validate({"store_url": url})


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StoreSettings:
    monkeypatch.delenv("DYNWORK_STORE_URL", raising=False)
    monkeypatch.setenv("DYNWORK_DATA_DIR", str(tmp_path))
    return StoreSettings()


async def test_the_store_is_a_file_in_the_data_directory_unless_told_otherwise(
    tmp_path: Path, settings: StoreSettings
) -> None:
    await stores.migrate(settings)
    assert (tmp_path / "dynwork.db").exists()


@pytest.mark.parametrize(
    ("url", "engine"),
    [
        ("sqlite:////var/x.db", SqliteStore),
        ("sqlite:///x.db", SqliteStore),
        ("postgresql://user:hidden@h1:1,h2:2/db?sslmode=verify-full", PostgresStore),
        ("postgres://h/db", PostgresStore),
    ],
)
def test_the_url_says_which_engine_it_is_and_whether_several_may_share_it(url: str, engine: type) -> None:
    settings = settings_of(url)
    assert type(stores.store(settings, Rules(), "http://o")) is engine
    assert stores.is_shared(settings) == (engine is PostgresStore)


@pytest.mark.parametrize("url", ["mysql://user:hidden@host/db", "sqlite:///", "x.db", "postgresql:hidden", ""])
def test_a_store_of_another_engine_is_refused_without_repeating_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        stores.store(settings_of(url), Rules(), "http://o")
    assert "hidden" not in refusal.value.detail


def test_a_password_in_the_url_is_not_shown_with_the_settings() -> None:
    assert "hidden" not in repr(settings_of("postgresql://user:hidden@host/db"))


async def test_a_store_in_use_may_be_checked_but_not_migrated(settings: StoreSettings) -> None:
    in_use = stores.store(settings, Rules(), "http://o")
    await in_use.open()
    assert await stores.check(settings) == []
    with pytest.raises(StoreLockedError):
        await stores.migrate(settings)
    await in_use.close()


async def test_a_store_that_is_not_there_is_not_made_by_looking(tmp_path: Path, settings: StoreSettings) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no store at .*dynwork\.db: DYNWORK_STORE_URL"):
        await stores.check(settings)
    assert not (tmp_path / "dynwork.db").exists()
    sqlite3.connect(tmp_path / "dynwork.db").close()
    assert await stores.check(settings) == [
        "the schema is not there, or older than this release: dynwork migrate brings it up to date"
    ]


def test_the_commands_migrate_and_check_and_the_exit_code_says_whether_all_is_well(settings: StoreSettings) -> None:
    migrated = CliRunner().invoke(app, ["migrate", "--json"])
    assert migrated.exit_code == 0
    assert '"cluster_id"' in migrated.stdout
    checked = CliRunner().invoke(app, ["check-store"])
    assert (checked.exit_code, checked.stdout) == (0, "every invariant holds\n")
    with sqlite3.connect(settings.data_dir / "dynwork.db") as connection:
        connection.execute("UPDATE cluster SET retired_position = 7")
    connection.close()
    broken = CliRunner().invoke(app, ["check-store"])
    assert broken.exit_code == 1
    assert asyncio.run(stores.check(settings)) == broken.stdout.splitlines()
