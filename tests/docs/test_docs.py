"""What is documented exists, and what exists is documented."""

from __future__ import annotations

import re
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path

import pytest

from dynwork import settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*/README.md")])
REFERENCE = ROOT / "docs" / "reference"
LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")


def names(pattern: str, page: Path) -> set[str]:
    return set(re.findall(pattern, page.read_text()))


@pytest.mark.parametrize("script", ["scripts.reference", "scripts.state_diagram"])
def test_the_generated_reference_is_what_the_code_says(script: str) -> None:
    checked = subprocess.run([sys.executable, "-m", script, "--check"], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_into_a_page_leads_to_a_heading(page: Path) -> None:
    for link, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
        target = page.parent / link if link else page
        headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?s)```.*?```", "", target.read_text()))
        assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", sorted(REFERENCE.glob("*.md")), ids=lambda page: page.name)
def test_every_row_of_a_generated_table_has_the_columns_of_its_head(page: Path) -> None:
    """A bar that is not escaped splits a cell, in code as well."""
    for table in re.findall(r"(?m)(?:^\|.*\n)+", page.read_text()):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_variable_target_and_metric_that_is_named_exists(page: Path) -> None:
    models = (settings.ApiSettings, settings.OrchestratorSettings, settings.WorkerSettings, settings.ClientSettings)
    variables = {f"DYNWORK_{name.upper()}" for model in models for name in model.model_fields}
    assert names(r"DYNWORK_[A-Z0-9_]*[A-Z0-9]", page) <= variables
    targets = names(r"(?m)^([a-z-]+):", ROOT / "Makefile")
    assert names(r"(?m)(?:^ {4}|`)make ([a-z-]+)", page) <= targets
    assert names(r"`(dynwork_[a-z_]+)`", page) <= names(r"`(dynwork_[a-z_]+)`", REFERENCE / "metrics.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_default_that_is_named_is_the_one_in_the_reference(page: Path) -> None:
    """As "`DYNWORK_...` (5)" or "(0.025 s)" in a sentence."""
    named = names(r"`(DYNWORK_[A-Z0-9_]+)` \(([\d.]+)(?: s)?\)", page)
    assert named <= names(r"\| `(DYNWORK_[A-Z0-9_]+)` \| `([^`]+)`", REFERENCE / "settings.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_test_that_is_named_as_a_proof_exists(page: Path) -> None:
    for file, test in re.findall(r"`(tests/[a-z_/]+\.py)::(\w+)`", page.read_text()):
        assert f"def {test}(" in (ROOT / file).read_text()


def test_every_setting_metric_and_error_is_in_the_reference() -> None:
    """The generator walks models, registries and the error tree; this looks from the other side: the source text."""
    source = "\n".join(
        path.read_text() for path in (ROOT / "src" / "dynwork").rglob("*.py") if "testing" not in path.parts
    )
    codes = set(re.findall(r'^    code(?:: ClassVar\[str\])? = "([a-z_]+)"', source, re.MULTILINE))
    of_routing = re.findall(r"error\.status_code == (\d+)", source)
    codes |= {HTTPStatus(int(status)).phrase.lower().replace(" ", "_") for status in of_routing}
    assert {"internal", "not_found", "method_not_allowed"} <= codes
    assert codes == names(r"(?m)^\| `([a-z_]+)`", REFERENCE / "errors.md")
    counted = {
        name.removesuffix("_total").removesuffix("_info")
        for name in names(r"`(dynwork_[a-z_]+)`", REFERENCE / "metrics.md")
    }
    assert set(re.findall(r'"(dynwork_(?:api|round|worker|jobs|leases|asks|store)_?[a-z_]*)"', source)) <= counted


def test_the_code_in_the_howto_of_a_kind_is_the_example_s() -> None:
    page = (ROOT / "docs" / "howto" / "your-own-kind.md").read_text()
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", page, re.DOTALL)
    files = "\n".join(path.read_text() for path in (ROOT / "examples" / "sloth").glob("*.*"))
    assert len(blocks) == 4
    assert [block for block in blocks if block not in files] == []


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "adr"
    assert names(r"\]\((\d{4}-[^)]+)\)", folder / "README.md") == {page.name for page in folder.glob("0*.md")}


def test_every_call_of_the_public_api_is_in_the_reference_and_every_call_that_is_named_is_one() -> None:
    """From the other side than the generator: the decorators in the source text."""
    source = "\n".join(path.read_text() for path in (ROOT / "src" / "dynwork" / "api").glob("*.py"))
    source += (ROOT / "src" / "dynwork" / "health.py").read_text()
    found = re.findall(r'@\w+\.(get|put|post|delete)\(\s*"([^"]+)"', source)
    hidden = {"GET /openapi.json", "GET /docs", "GET /docs/{name}", "GET /"}
    calls = {f"{method.upper()} {path}" for method, path in found} - hidden
    assert calls == names(r"(?m)^### `([A-Z]+ /[^`]*)`", REFERENCE / "http.md")
    shapes = {re.sub(r"\{\w+\}", "{id}", call) for call in calls | hidden}
    for page in PAGES:
        if "adr" not in page.parts:
            named = names(r"`((?:GET|PUT|POST|DELETE) /[^`?\s]*)[?`]", page)
            assert {re.sub(r"\{\w+\}", "{id}", call) for call in named if "/internal/" not in call} <= shapes, page


def test_every_command_is_in_the_reference_and_every_command_that_is_named_is_one() -> None:
    documented = names(r"(?m)^## `dynwork ([a-z-]+)", REFERENCE / "cli.md")
    shown = subprocess.run([sys.executable, "-m", "dynwork", "--help"], capture_output=True, text=True).stdout
    listed = set(re.findall(r"(?m)^│ ([a-z][a-z-]*) ", shown))
    assert documented == listed
    for page in PAGES:
        assert names(r"`dynwork ([a-z][a-z-]*)", page) <= documented, page
        assert names(r"(?m)^ {4}dynwork ([a-z][a-z-]*)", page) <= documented, page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_option_and_code_that_is_named_exists(page: Path) -> None:
    reference = (REFERENCE / "cli.md").read_text()
    sections = re.findall(r"(?ms)^## `dynwork ([a-z-]+)(.*?)(?=^## |\Z)", reference)
    options = {command: {*re.findall(r"`(--[a-z-]+)", section), "--help"} for command, section in sections}
    for command, rest in re.findall(r"\bdynwork ([a-z][a-z-]*)([^`\n#|]*)", page.read_text()):
        assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= options.get(command, set()), command
    assert names(r"\b[45]\d\d `([a-z_]+)`", page) <= names(r"(?m)^\| `([a-z_]+)`", REFERENCE / "errors.md")


def test_every_page_is_reached_from_the_map() -> None:
    folder = ROOT / "docs"
    linked = {
        (folder / link).resolve() for link in LINK.findall((folder / "README.md").read_text()) if "://" not in link
    }
    pages = {page for page in folder.rglob("*.md") if "adr" not in page.parts and page != folder / "README.md"}
    assert pages <= linked
