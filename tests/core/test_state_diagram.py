"""The page of states is what the tables say today."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from dynwork.orchestrator.core import instance, machine

ROOT = Path(__file__).parents[2]


@pytest.fixture
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("state_diagram", ROOT / "scripts" / "state_diagram.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(generator: ModuleType) -> None:
    committed = (ROOT / "docs" / "reference" / "job-states.md").read_text()
    assert committed == generator.page(), "run make docs"


def test_every_transition_is_on_the_page(generator: ModuleType) -> None:
    page = generator.page()
    edges = [(state, event, after) for (state, event), afters in machine.TRANSITIONS.items() for after in afters]
    edges_of_instances = [(state, event, after) for (state, event), after in instance.TRANSITIONS.items()]
    for state, event, after in [*edges, *edges_of_instances]:
        assert f"| `{state}` | {event.__name__} |" in page
        drawn = [line for line in page.splitlines() if line.strip().startswith(f"{state} --> {after}: ")]
        assert event.__name__ in drawn[0]
