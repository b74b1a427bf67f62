"""``/docs``: a person submits a file there and reads its hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from dynwork.testing.cluster import Cluster

pytestmark = pytest.mark.system

ITERATIONS = 12_345
CONTENT = b"what a person hands in" * 1000


def opened(page: Page, method: str, path: str) -> Locator:
    """Unfold one call; return its block."""
    block = page.locator(".opblock", has=page.get_by_role("button", name=f"{method} {path} ", exact=False)).first
    block.get_by_role("button", name=f"{method} {path}").first.click()
    return block


def answer(block: Locator) -> Locator:
    """Send the call; return where the answer's body is shown."""
    block.get_by_role("button", name="Execute").click()
    return block.locator(".live-responses-table .response-col_description pre").first


def test_a_file_is_submitted_and_its_hash_is_read_there(
    visit: Callable[..., Page], cluster: Cluster, file: Callable[[str, bytes], Path]
) -> None:
    page = visit(f"{cluster.api_urls[0]}/docs")
    enqueue = opened(page, "PUT", "/enqueue")
    enqueue.get_by_placeholder("iterations").fill(str(ITERATIONS))
    enqueue.locator("input[type=file]").set_input_files(file("buffer.bin", CONTENT))
    accepted = answer(enqueue)
    expect(accepted).to_contain_text("job_id")
    found = re.search(r'"job_id": "([0-9a-f-]{36})"', accepted.inner_text())
    assert found is not None
    job = opened(page, "GET", "/jobs/{job_id}")
    job.get_by_placeholder("job_id").fill(found[1])
    job.get_by_placeholder("wait_s").fill("20")
    digest = CONTENT
    for _ in range(ITERATIONS):
        digest = hashlib.sha512(digest).digest()
    expect(answer(job)).to_contain_text(f'"hash": "{digest.hex()}"')
