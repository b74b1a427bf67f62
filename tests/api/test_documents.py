"""The pages for people: nothing of them comes from elsewhere, and nothing runs that is not written in them."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import httpx
import pytest

from dynwork.testing.api import api_instance
from dynwork.testing.orchestrators import FakeOrchestrators

PAGES = ("/", "/docs")
BEHIND_DOCS = ("/openapi.json", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/favicon-32x32.png")
KEYS: dict[str, Any] = {"api_keys": ("one[read]:secret",)}


async def get(path: str, key: str | None = None, **settings: Any) -> httpx.Response:
    async with api_instance(FakeOrchestrators(), **settings) as api:
        return await api.client.get(path, headers={"Authorization": f"Bearer {key}"} if key else {})


def directives(answer: httpx.Response) -> dict[str, set[str]]:
    policy = answer.headers["Content-Security-Policy"].split("; ")
    return {name: set(sources) for name, *sources in (directive.split() for directive in policy)}


def hashes(element: str, html: str) -> set[str]:
    texts = re.findall(rf"<{element}[^>]*>([^<]+(?:<(?!/{element})[^<]*)*)</{element}>", html)
    return {f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts}


async def test_the_page_runs_what_is_written_in_it_and_nothing_else() -> None:
    answer = await get("/")
    allowed = directives(answer)
    assert allowed["default-src"] == {"'none'"}
    assert allowed["script-src"] == hashes("script", answer.text) != set()
    assert allowed["style-src"] == hashes("style", answer.text) != set()
    assert allowed["connect-src"] == {"'self'"}
    assert allowed["frame-ancestors"] == allowed["base-uri"] == allowed["form-action"] == {"'none'"}


async def test_docs_run_swagger_ui_from_here_and_what_is_written_in_them() -> None:
    answer = await get("/docs")
    assert directives(answer)["script-src"] == {"'self'", *hashes("script", answer.text)}
    assert directives(answer)["default-src"] == {"'none'"}


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_is_whole_and_names_no_other_host(path: str) -> None:
    answer = await get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "{{" not in answer.text
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)[^\s'\"]+", answer.text) == []


@pytest.mark.parametrize("path", PAGES)
async def test_whatever_a_page_names_by_an_id_is_there_once(path: str) -> None:
    html = (await get(path)).text
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:element|copyOf)\("([^"]+)"\)', html)) <= set(ids)
    assert set(re.findall(r'(?:for|aria-labelledby|aria-describedby)="([^"]+)"', html)) <= set(ids)


@pytest.mark.parametrize("path", ["/docs", *BEHIND_DOCS])
async def test_docs_and_all_that_is_behind_them_follow_the_rule_for_open_pages(path: str) -> None:
    assert (await get(path)).status_code == 200
    assert (await get(path, open_pages=True, **KEYS)).status_code == 200
    assert (await get(path, open_pages=False, **KEYS)).status_code == 401
    assert (await get(path, open_pages=False, key="secret", **KEYS)).status_code == 200


async def test_the_page_is_open_where_all_else_needs_a_key_for_it_is_where_the_key_is_given() -> None:
    answer = await get("/", open_pages=False, **KEYS)
    assert answer.status_code == 200
    assert "secret" not in answer.text


@pytest.mark.parametrize("name", ["__init__.py", "..%2Fmain.py", "nothing.js"])
async def test_no_other_file_of_the_package_is_served(name: str) -> None:
    assert (await get(f"/docs/{name}")).status_code == 404
