"""The image's recipe: linted everywhere, its steps carried out in a plain folder, built where there is an engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.needs import needed

from dynwork.addresses import is_loopback
from dynwork.settings import ApiSettings, CommonSettings, OrchestratorSettings, WorkerSettings
from dynwork.testing.waiting import wait_until
from dynwork.up.ports import free_api_port

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "container"
DOCKERFILE = FOLDER / "Dockerfile"
BIN = Path(sys.executable).parent
ROLES: dict[str, type[CommonSettings]] = {
    "api": ApiSettings,
    "orchestrator": OrchestratorSettings,
    "worker": WorkerSettings,
}
LEFT_TO_THE_IMAGE = ("apt-get ", "groupadd ")
"""Steps that change the system they run on: an image has one of its own."""


def instructions() -> Iterator[tuple[str, str]]:
    """Yield name and argument of each instruction, continuation lines joined."""
    text = re.sub(r"(?m)^\s*#.*\n", "", DOCKERFILE.read_text())
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if line.strip():
            name, _, argument = line.partition(" ")
            yield name, argument.strip()


def variables() -> dict[str, str]:
    """Return what the image sets."""
    parts = [part for name, argument in instructions() if name == "ENV" for part in argument.split()]
    return {name: value for name, _, value in (part.partition("=") for part in parts)}


def services() -> dict[str, dict[str, Any]]:
    read: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    return read


def run(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_linters_find_nothing_in_the_recipe() -> None:
    linted = run(BIN / "hadolint", "--no-color", DOCKERFILE)
    assert (linted.returncode, linted.stdout) == (0, "")
    checked = run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", FOLDER / "compose.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_image_runs_as_nobody_special_and_holds_no_compiler() -> None:
    named = list(instructions())
    last_stage = named[max(index for index, (name, _) in enumerate(named) if name == "FROM") :]
    assert [argument for name, argument in last_stage if name == "USER"] == ["10001:10001"]
    assert not [
        argument for name, argument in last_stage if name == "RUN" and ("apt-get" in argument or "pip" in argument)
    ]
    assert [argument for name, argument in last_stage if name == "COPY"] == ["--from=build /opt/dynwork /opt/dynwork"]


def test_what_is_sent_to_the_builder_is_what_the_recipe_copies_and_no_secret() -> None:
    allowed = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = {
        source
        for name, argument in instructions()
        if name == "COPY" and not argument.startswith("--from")
        for source in argument.split()[:-1]
    }
    assert copied == allowed
    assert all((ROOT / source).exists() for source in copied)


def test_the_cluster_is_two_of_each_role_and_none_is_privileged() -> None:
    roles = {name: service for name, service in services().items() if name != "database"}
    assert sorted(roles) == ["api-1", "api-2", "orchestrator-1", "orchestrator-2", "worker"]
    assert roles["worker"]["deploy"]["replicas"] == 2
    for service in roles.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
    ports = [port for service in services().values() for port in service.get("ports", ())]
    assert ports
    assert all(is_loopback(port.split(":")[0]) for port in ports), "nothing is open to other machines unasked"


def test_every_service_starts_with_the_settings_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("DYNWORK_")]:
        monkeypatch.delenv(name)
    for name, service in services().items():
        if name == "database":
            continue
        with monkeypatch.context() as context:
            for variable, value in {**variables(), **service["environment"]}.items():
                if variable.startswith("DYNWORK_"):
                    context.setenv(variable, re.sub(r"\$\{(\w+):\?[^}]*\}", r"owner:\1", str(value)))
            model = ROLES[name.split("-")[0]]
            settings = model()
            known = {f"DYNWORK_{field.upper()}" for field in model.model_fields}
            assert set(service["environment"]) <= known, name
            assert settings.log_format == "json"


def test_every_address_in_the_cluster_is_that_of_a_service_and_of_its_port() -> None:
    """A container that is asked at a wrong port is never healthy, and those that wait for it never start."""
    found = services()
    ports = {role: model.model_fields[f"{role}_port"].default for role, model in ROLES.items()}
    (image,) = [argument for name, argument in instructions() if name == "HEALTHCHECK"]
    for name, service in found.items():
        role = name.split("-")[0]
        if role not in ports:
            continue
        assert set(service["depends_on"]) < set(found)
        asked = service.get("healthcheck", {"test": [image]})["test"][-1]
        assert f"'http://127.0.0.1:{ports[role]}/livez'" in asked, name
        orchestrators = {f"http://{other}:{ports['orchestrator']}" for other in found if other.startswith("orch")}
        given = service["environment"]
        if role == "orchestrator":
            assert given["DYNWORK_ORCHESTRATOR_URL"] == f"http://{name}:{ports[role]}"
            assert f"@database/{found['database']['environment']['POSTGRES_DB']}" in given["DYNWORK_STORE_URL"]
        else:
            assert set(given["DYNWORK_ORCHESTRATOR_URLS"].split(",")) == orchestrators
        assert all(port.endswith(f":{ports[role]}") for port in service.get("ports", ()))


def test_secrets_are_made_once_and_for_their_owner_alone(tmp_path: Path) -> None:
    script = shutil.copy(FOLDER / "secrets.sh", tmp_path)
    assert run(script).returncode == 0
    made = (tmp_path / ".env").read_text()
    wanted = set(re.findall(r"\$\{(\w+):\?", (FOLDER / "compose.yaml").read_text()))
    given = dict(line.split("=", 1) for line in made.splitlines())
    assert set(given) == wanted
    assert len(set(given.values())) == len(given)
    assert all(len(value.removeprefix("team:")) == 48 for value in given.values())
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    again = run(script)
    assert again.returncode == 1
    assert (tmp_path / ".env").read_text() == made
    assert ".env" in (ROOT / ".gitignore").read_text().split()


def copy(source: Path, place: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, place, ignore=shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info"))
    else:
        shutil.copy(source, place)


@pytest.mark.system
def test_the_steps_of_the_recipe_make_an_installation_that_serves(tmp_path: Path) -> None:
    """In a folder in the place of the image: the same files, the same commands, the same command at the end."""
    source, installed = tmp_path / "src", tmp_path / "opt" / "dynwork"
    source.mkdir()
    python = tmp_path / "bin"
    python.mkdir()
    (python / "python").symlink_to(Path(sys.base_prefix, "bin", "python3").resolve())
    placed = {**os.environ, "PATH": f"{python}:{os.environ['PATH']}"}
    carried_out = []
    for name, argument in instructions():
        if name == "COPY" and not argument.startswith("--from"):
            *sources, target = argument.split()
            for one in sources:
                place = source / target / (Path(one).name if target != one else "")
                place.parent.mkdir(parents=True, exist_ok=True)
                copy(ROOT / one, place)
        elif name == "RUN" and not argument.startswith(LEFT_TO_THE_IMAGE):
            step = argument.replace("/opt/dynwork", str(installed))
            done = run("bash", "-euo", "pipefail", "-c", step, cwd=source, env=placed)
            assert done.returncode == 0, f"{step}\n{done.stdout}{done.stderr}"
            carried_out.append(step)
    assert len(carried_out) == 3
    (command,) = [json.loads(argument) for name, argument in instructions() if name == "CMD"]
    (health,) = [json.loads(argument.split("CMD ", 1)[1]) for name, argument in instructions() if name == "HEALTHCHECK"]
    port = str(free_api_port())
    image = {**variables(), "PATH": f"{installed}/bin:/usr/bin:/bin", "DYNWORK_DATA_DIR": str(tmp_path)}
    serving = subprocess.Popen(command, cwd=tmp_path, env={**image, "DYNWORK_API_PORT": port}, stderr=subprocess.PIPE)
    try:
        probe = [part.replace(":8000/", f":{port}/") for part in health]
        assert probe != health
        wait_until(lambda: run(*probe, cwd=tmp_path, env=image).returncode == 0, "the API of the image to be healthy")
    finally:
        serving.terminate()
        _, said = serving.communicate(timeout=20)
    assert serving.returncode == 0, said
    assert run(*probe, cwd=tmp_path, env=image).returncode != 0, "a dead role is not healthy"


@pytest.mark.system
def test_the_image_is_built_and_runs_where_there_is_an_engine() -> None:
    engines = [name for name in ("docker", "podman") if shutil.which(name) and run(name, "info").returncode == 0]
    (engine, *_) = needed(engines, "no container engine answers here")
    base = next(argument.partition("=")[2] for name, argument in instructions() if name == "ARG")
    there = not run(engine, "image", "inspect", base).returncode or not run(engine, "pull", "-q", base).returncode
    needed(there, "the base image of the container cannot be had here")
    built = run(engine, "build", "-q", "-f", DOCKERFILE, "-t", "dynwork-test", ROOT)
    assert built.returncode == 0, built.stderr
    version = run(engine, "run", "--rm", "--read-only", "dynwork-test", "dynwork", "--version")
    assert version.stdout.startswith("dynwork "), version.stderr
