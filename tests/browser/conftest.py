"""Debian's Chromium before a real cluster. No page may say anything to its console, or ask anything of another host."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from tests.needs import program

from dynwork.testing.cluster import Cluster, Shape

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE_MS = 30_000
"""How long anything may take to appear: the machine may be busy."""
KEYS = "one:first-key,one[submit]:blind-key,one:ключ"

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Start the browser, for one file: its driver keeps the event loop, which other tests need for themselves."""
    path = program("chromium", "chromium")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run a cluster that asks for no key."""
    with Cluster(tmp_path_factory.mktemp("cluster"), Shape(apis=1, max_workers=1)) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Run a cluster that asks for one of :data:`KEYS`."""
    shape = Shape(apis=1, max_workers=1, variables={"DYNWORK_API_KEYS": KEYS})
    with Cluster(tmp_path_factory.mktemp("guarded"), shape) as cluster:
        yield cluster


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """Open a fresh profile, as large as a laptop's window."""
    context = chromium.new_context(viewport={"width": 1200, "height": 820}, locale="en-GB")
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def visit(context: BrowserContext) -> Iterator[Open]:
    """Return what opens a page; at the end it must have asked its own host alone, and said nothing to the console.

    ``refused``: statuses, or errors of the network, that the test provokes; the browser itself writes those to the
    console.
    """
    said: list[str] = []
    foreign: list[str] = []

    def open_page(url: str, refused: tuple[int | str, ...] = ()) -> Page:
        def listen(message: ConsoleMessage) -> None:
            if not any(re.search(rf"(with a status of |net::){what}\b", message.text) for what in refused):
                said.append(message.text)

        page = context.new_page()
        page.on("console", listen)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: foreign.append(request.url) if elsewhere(request.url, url) else None)
        page.goto(url)
        return page

    yield open_page
    assert said == []
    assert foreign == []


def elsewhere(url: str, home: str) -> bool:
    """Say whether ``url`` leads to another host than ``home``."""
    return urlsplit(url).scheme != "data" and urlsplit(url).netloc != urlsplit(home).netloc


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Return what makes a file to submit."""

    def make(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return make
