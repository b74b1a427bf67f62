"""What ``dynwork up`` tells its roles, and how it keeps them running."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynwork.errors import ConfigurationError
from dynwork.settings import cores
from dynwork.up.options import UpOptions, api_specs, orchestrator_specs
from dynwork.up.ports import free_api_port


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DYNWORK_WORKER_SLOTS", "DYNWORK_STORE_URL", "DYNWORK_WORKER_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_every_role_has_a_port_of_its_own() -> None:
    options = UpOptions(Path("d"), apis=3, orchestrators=2, api_port=9000, store="postgresql://h/db")
    ports = [spec.port for spec in (*api_specs(options), *orchestrator_specs(options))]
    assert ports == [9000, 9001, 9002, 9100, 9101]


def test_apis_know_every_orchestrator() -> None:
    options = UpOptions(Path("d"), orchestrators=2, api_port=9000, store="postgresql://h/db")
    for spec in api_specs(options):
        assert spec.environment["DYNWORK_ORCHESTRATOR_URLS"] == "http://127.0.0.1:9100,http://127.0.0.1:9101"


def test_workers_will_know_every_orchestrator_whichever_starts_them() -> None:
    options = UpOptions(Path("d"), orchestrators=2, api_port=9000, store="postgresql://h/db")
    for spec in orchestrator_specs(options):
        assert spec.environment["DYNWORK_ORCHESTRATOR_URLS"] == "http://127.0.0.1:9100,http://127.0.0.1:9101"


def test_the_orchestrator_runs_local_workers_within_the_bounds() -> None:
    (spec,) = orchestrator_specs(UpOptions(Path("d"), min_workers=2, max_workers=3))
    told = {name: spec.environment[f"DYNWORK_FLEET_{name}"] for name in ("PROVIDER", "MIN", "MAX")}
    assert told == {"PROVIDER": "local", "MIN": "2", "MAX": "3"}
    assert "DYNWORK_STORE_URL" not in spec.environment


def test_all_workers_together_use_about_the_cores_and_each_at_least_one() -> None:
    (one,) = orchestrator_specs(UpOptions(Path("d"), max_workers=1))
    (many,) = orchestrator_specs(UpOptions(Path("d"), max_workers=1000))
    assert one.environment["DYNWORK_WORKER_SLOTS"] == str(cores())
    assert many.environment["DYNWORK_WORKER_SLOTS"] == "1"


def test_slots_that_the_operator_chose_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNWORK_WORKER_SLOTS", "7")
    (spec,) = orchestrator_specs(UpOptions(Path("d")))
    assert spec.environment["DYNWORK_WORKER_SLOTS"] == "7"


def test_an_api_is_not_told_the_workers_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNWORK_WORKER_TOKEN", "s3cret")
    assert all("s3cret" not in spec.environment.values() for spec in api_specs(UpOptions(Path("d"))))
    assert "s3cret" in orchestrator_specs(UpOptions(Path("d")))[0].environment.values()


def test_free_ports_leave_room_for_every_role() -> None:
    port = free_api_port(apis=3, orchestrators=2)
    assert 20_000 <= port < 30_000


def test_a_server_of_its_own_may_be_shared_by_several_orchestrators(tmp_path: Path) -> None:
    options = UpOptions(tmp_path, orchestrators=2, api_port=9000, store="postgres")
    options.check()
    assert options.postgres_port == 9200
    with pytest.raises(ConfigurationError, match="--store postgres"):
        UpOptions(tmp_path, orchestrators=2).check()
