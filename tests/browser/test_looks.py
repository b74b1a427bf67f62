"""How the page looks, and whom it shuts out: axe-core finds nothing, light, dark and on a phone; its pictures."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, expect

from dynwork.testing.cluster import Cluster

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("looks")]

AXE = resources.files("axe_playwright_python") / "axe.min.js"
LOOKS: dict[str, tuple[Literal["light", "dark"], int]] = {
    "light": ("light", 1200),
    "dark": ("dark", 1200),
    "phone": ("light", 390),
    "phone-dark": ("dark", 390),
}
"""The scheme of colours, and the width of the window in CSS pixels."""
FAR = re.compile(r"^[1-9]\d")
"""A bar of 10 % or more."""
FILES = {"ledger.csv": 1_000_000, "thesis.pdf": 1_000_000, "harbour.raw": 200_000_000, "backup.tar": 400_000_000}
"""What is on the pictures, with iterations."""


def faults(page: Page) -> list[tuple[str, list[str]]]:
    """Return what axe-core finds: the rule, and the elements that break it."""
    page.evaluate(f"() => {{ {AXE.read_text(encoding='utf-8')} }}")
    found: list[dict[str, Any]] = page.evaluate("async () => (await axe.run()).violations")
    return [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found]


@pytest.fixture
def busy(visit: Callable[..., Page], cluster: Cluster, file: Callable[[str, bytes], Path]) -> Page:
    """Open the page, with jobs in every state that a person meets."""
    page = visit(cluster.api_urls[0])
    for name, iterations in FILES.items():
        page.get_by_label("Choose files").set_input_files(file(name, name.encode() * 10_000))
        page.get_by_label("Iterations").fill(str(iterations))
        page.get_by_role("button", name="Submit").click()
        expect(page.get_by_role("button", name="Submit")).to_be_enabled()
    page.get_by_role("button", name="Cancel backup.tar").click()
    jobs = page.locator(".job .badge")
    expect(jobs).to_have_text(["Cancelled", "Running", "Done", "Done"])
    expect(page.get_by_role("progressbar", name="Progress of harbour.raw")).to_have_attribute("value", FAR)
    return page


def test_nobody_is_shut_out_and_nothing_sticks_out_whatever_it_looks_like(busy: Page, tmp_path: Path) -> None:
    """``DYNWORK_TEST_PICTURES``: where the pictures are kept (``make pictures``)."""
    pictures = Path(os.environ.get("DYNWORK_TEST_PICTURES", tmp_path))
    for look, (scheme, width) in LOOKS.items():
        busy.set_viewport_size({"width": width, "height": 820})
        busy.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        busy.screenshot(path=pictures / f"page-{look}.png", full_page=True, animations="disabled")
        assert faults(busy) == [], look
        assert busy.evaluate("() => document.documentElement.scrollWidth") <= width, look


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out_by_the_question_for_a_key(
    scheme: Literal["light", "dark"], visit: Callable[..., Page], guarded: Cluster
) -> None:
    page = visit(guarded.api_urls[0], refused=(401,))
    page.emulate_media(color_scheme=scheme)
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    assert faults(page) == []
