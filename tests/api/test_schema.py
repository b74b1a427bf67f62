"""The published schema, walked by schemathesis over the real roles, with every right: nothing answers 5xx, and nothing
answers what the schema does not tell.

Single calls reach every operation, with ids of jobs in every state; walks follow a job from call to call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import cycle
from typing import Any, TypeAlias

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode, Response, checks
from schemathesis.checks import CheckFunction
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks as openapi_checks

from dynwork.api.tail import WAIT_S_MAX
from dynwork.orchestrator.store.postgres import PostgresStore
from dynwork.testing.both_roles import STATES_BY_ITERATIONS, both_roles
from dynwork.testing.postgres import Databases
from dynwork.testing.waiting import wait_until

pytestmark = pytest.mark.thorough

Case: TypeAlias = schemathesis.Case[Any]

KEYS = ("one[read]:reader", "one[submit]:submitter", "one:both", "chief[admin]:admin")
HOLDERS = ("reader", "submitter", "both", "admin", "nobody")
ENDLESS = "/events"
"""Its answer goes on as long as somebody listens."""
CHECKS: list[CheckFunction] = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
]
BOUNDED = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)


class Site:
    """The roles, the schema that they publish, and some jobs, one in each state at first."""

    def __init__(self, url: str) -> None:
        config = SchemathesisConfig.from_dict({"generation": {"with-security-parameters": False}})
        published = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config)
        self.schema = published.exclude(path=ENDLESS)
        self._url = url
        self._ids = cycle([self._job(state, n) for state, n in STATES_BY_ITERATIONS.items()])

    @property
    def operations(self) -> list[APIOperation[Any, Any, Any, Any]]:
        return [found.ok() for found in self.schema.get_all_operations() if isinstance(found, Ok)]

    def _job(self, state: str, iterations: int) -> str:
        """Let there be a job in ``state``."""
        with httpx.Client(base_url=self._url, headers=_key("both")) as http:
            job_id: str = http.put("/enqueue", params={"iterations": iterations}, content=b"x").json()["job_id"]
            if state == "cancelled":
                http.delete(f"/jobs/{job_id}")
            wait_until(lambda: http.get(f"/jobs/{job_id}").json()["state"] == state, f"a job that is {state}")
        return job_id

    def known(self, case: Case) -> Case:
        """Let ``case`` name what there is: a job, the kind of work that everybody has, its own first page."""
        if "job_id" in case.path_parameters:
            case.path_parameters["job_id"] = next(self._ids)
        for name in ("kind", "owner", "after", "cursor"):
            case.query.pop(name, None)
        case.headers.pop("idempotency-key", None)
        return case


@pytest.fixture(scope="module")
def site(databases: Databases) -> Iterator[Site]:
    """Over PostgreSQL, which is the stricter of the engines about what it is given."""
    database = asyncio.run(databases.fresh())
    with both_roles(lambda rules: PostgresStore(database, rules, "http://one"), api_keys=KEYS) as url:
        yield Site(url)
    asyncio.run(databases.give_back(database))


def _key(holder: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {holder}"}


def _hurried(case: Case) -> Case:
    """Let nobody wait: a wait that would be allowed is none."""
    wait_s = case.query.get("wait_s")
    if isinstance(wait_s, int) and 0 <= wait_s <= WAIT_S_MAX:
        case.query["wait_s"] = 0
    return case


def _validate(response: Response, case: Case) -> None:
    case.validate_response(response, checks=CHECKS)


@pytest.mark.parametrize("holder", HOLDERS)
def test_no_call_meets_a_fault_or_an_answer_that_the_schema_does_not_tell(site: Site, holder: str) -> None:
    """And each operation is either refused to this key, always, or it succeeds if it is asked for what there is."""
    refused, succeeded = set(), set()

    def ask_for_anything(case: Case) -> None:
        _validate(_hurried(case).call(headers=_key(holder)), case)

    def ask_for_what_there_is(case: Case) -> None:
        response = _hurried(site.known(case)).call(headers=_key(holder))
        _validate(response, case)
        status = response.status_code
        if status in (401, 403):
            refused.add(case.operation.label)
        elif status in (200, 202):
            succeeded.add(case.operation.label)

    for operation in site.operations:
        sensible = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
        senseless = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
        few = settings(BOUNDED, max_examples=10)
        few(given(sensible)(ask_for_what_there_is))()
        few(given(st.one_of(sensible, senseless))(ask_for_anything))()
    assert not refused & succeeded
    assert refused | succeeded == {operation.label for operation in site.operations}


@pytest.mark.parametrize("holder", HOLDERS)
def test_no_walk_meets_a_fault_or_an_answer_that_the_schema_does_not_tell(site: Site, holder: str) -> None:
    class Walk(site.schema.as_state_machine()):  # type: ignore[misc] # made from the schema
        def before_call(self, case: Case) -> None:
            _hurried(case)

        def get_call_kwargs(self, case: Case) -> dict[str, Any]:
            return {"headers": _key(holder)}

        def validate_response(self, response: Response, case: Case, *_: object, **__: object) -> None:
            _validate(response, case)

    Walk.run(settings=settings(BOUNDED, max_examples=12, stateful_step_count=8))
