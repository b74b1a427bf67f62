"""The links in the OpenAPI document: they lead somewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from dynwork.api.links import LINKS
from dynwork.testing.api import api_instance
from dynwork.testing.orchestrators import FakeOrchestrators

Operations = dict[str, dict[str, Any]]


@pytest.fixture
async def operations() -> AsyncIterator[Operations]:
    """Every operation by its id."""
    async with api_instance(FakeOrchestrators()) as api:
        paths = (await api.client.get("/openapi.json")).json()["paths"]
        yield {operation["operationId"]: operation for calls in paths.values() for operation in calls.values()}


async def test_every_link_leads_to_an_operation_that_takes_what_it_brings(operations: Operations) -> None:
    assert operations.keys() >= LINKS.keys()
    for operation in operations.values():
        for answer in operation["responses"].values():
            for link in answer.get("links", {}).values():
                taken = {one["name"] for one in operations[link["operationId"]]["parameters"]}
                assert taken >= link["parameters"].keys()


@pytest.mark.parametrize("operation_id", LINKS)
async def test_a_success_shows_its_links(operations: Operations, operation_id: str) -> None:
    (success,) = operations[operation_id]["responses"].keys() & {"200", "202"}
    assert operations[operation_id]["responses"][success]["links"].keys() == LINKS[operation_id].keys()
