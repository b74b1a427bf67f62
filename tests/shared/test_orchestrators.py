"""The client side of orchestrators: whom it asks, in what order, and what it makes of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
import respx
from pydantic import SecretStr
from structlog.typing import EventDict

from dynwork import errors, problems
from dynwork.orchestrators import LIVING_MAX, PREFER_S, REST_S, REST_S_MAX, Orchestrators
from dynwork.testing.clock import FakeClock
from dynwork.wire import NewJob, Reply, Submit, SubmitReply

A, B, C = "http://a:1", "http://b:1", "http://c:1"
PATH = "/internal/stats"
OK = httpx.Response(200, json={})


class Dice:
    """Draws what the test says next, else 0."""

    def __init__(self) -> None:
        self.next = 0.0

    def __call__(self) -> float:
        return self.next


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def dice() -> Dice:
    return Dice()


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


@pytest.fixture
def known(http: httpx.AsyncClient, clock: FakeClock, dice: Dice) -> Callable[..., Orchestrators]:
    def made(*seeds: str) -> Orchestrators:
        return Orchestrators(seeds, http, SecretStr("t0ken"), clock, dice)

    return made


@pytest.fixture
def net() -> respx.MockRouter:
    return respx.MockRouter(assert_all_called=False)


@pytest.fixture(autouse=True)
def mocked(net: respx.MockRouter) -> object:
    with net:
        yield


def hosts(net: respx.MockRouter) -> list[str]:
    found = [call.request.url.host for call in net.calls]
    net.calls.clear()
    return found


async def ask(orchestrators: Orchestrators) -> Reply:
    return await orchestrators.call("GET", PATH, Reply, timeout_s=1.5)


def refusal(error: errors.DynworkError) -> httpx.Response:
    response = problems.of_error(error)
    return httpx.Response(response.status_code, content=bytes(response.body), headers=dict(response.headers))


# --- failures --------------------------------------------------------------------------------------------------------
FAILURES = {
    "refused": httpx.ConnectError("refused"),
    "connect timeout": httpx.ConnectTimeout("slow"),
    "read timeout": httpx.ReadTimeout("slow"),
    "reset": httpx.ReadError("reset"),
    "broken protocol": httpx.RemoteProtocolError("what"),
    "no such host": OSError("no such host"),
    "500": httpx.Response(500, json={"title": "Oops", "status": 500, "code": "internal", "detail": "a defect"}),
    "503": refusal(errors.StoreUnavailableError("not committed")),
    "502 in html": httpx.Response(502, text="<html>Bad Gateway</html>"),
    "garbage": httpx.Response(200, content=b"\xff{not json"),
    "another shape": httpx.Response(200, json={"orchestrators": 17}),
    "not json at all": httpx.Response(200, text="<html>Welcome to your router</html>"),
    "a redirect": httpx.Response(302, headers={"Location": "http://evil:1/"}),
    "404 of another program": httpx.Response(404, text="nope"),
    "a code from the future": httpx.Response(
        409, json={"title": "Conflict", "status": 409, "code": "from_the_future", "detail": "?"}
    ),
    "401": refusal(errors.UnauthorizedError("show the role's token")),
    "403 of a proxy": httpx.Response(403, text="forbidden"),
    "it lost our connection": refusal(errors.ClientGoneError("you went away")),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
async def test_whatever_is_no_answer_sends_the_same_call_to_the_next(
    known: Callable[..., Orchestrators], net: respx.MockRouter, failure: Exception | httpx.Response
) -> None:
    if isinstance(failure, Exception):
        net.get(A + PATH).mock(side_effect=failure)
    else:
        net.get(A + PATH).mock(return_value=failure)
    net.get(B + PATH).mock(return_value=OK)
    await ask(known(A, B))
    assert hosts(net) == ["a", "b"]


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
async def test_after_all_were_tried_in_vain_the_caller_hears_one_typed_error(
    known: Callable[..., Orchestrators], net: respx.MockRouter, failure: Exception | httpx.Response
) -> None:
    effect = {"side_effect": failure} if isinstance(failure, Exception) else {"return_value": failure}
    net.get(path=PATH).mock(**effect)
    with pytest.raises(errors.NoOrchestratorError) as raised:
        await ask(known(A, B, C))
    assert raised.value.retry_after_s
    assert hosts(net) == ["a", "b", "c"]
    assert "://" not in raised.value.detail


async def test_an_address_that_is_none_is_passed_over(
    known: Callable[..., Orchestrators], net: respx.MockRouter
) -> None:
    net.get(B + PATH).mock(return_value=OK)
    await ask(known("http://a:port", B))
    assert hosts(net) == ["b"]


async def test_the_bound_holds_for_the_whole_call_not_for_each_byte(clock: FakeClock, dice: Dice) -> None:
    async def dripping(request: httpx.Request) -> httpx.Response:
        if request.url.host == "a":
            await asyncio.Event().wait()  # keeps every timeout of httpx happy, and never ends
        return OK

    async with httpx.AsyncClient(transport=httpx.MockTransport(dripping)) as http:
        orchestrators = Orchestrators([A, B], http, None, clock, dice)
        await orchestrators.call("GET", PATH, Reply, timeout_s=0.01)


async def test_a_reply_lost_after_it_took_effect_is_asked_for_again_word_for_word(
    known: Callable[..., Orchestrators], net: respx.MockRouter
) -> None:
    entered: list[bytes] = []

    def lost(request: httpx.Request) -> httpx.Response:
        entered.append(request.content)
        raise httpx.ReadError("reset", request=request)

    def repeated(request: httpx.Request) -> httpx.Response:
        assert request.content in entered
        return httpx.Response(200, json={"results": [{"job_id": JOB.job_id}]})

    net.post(A + "/internal/submit").mock(side_effect=lost)
    net.post(B + "/internal/submit").mock(side_effect=repeated)
    reply = await known(A, B).call("POST", "/internal/submit", SubmitReply, body=Submit(jobs=[JOB]), timeout_s=1.5)
    assert reply.results[0].job_id == JOB.job_id
    assert Submit.model_validate_json(entered[0]).jobs == [JOB]


JOB = NewJob(
    job_id="01a20bd3-c12e-76d3-bab0-928edb700de8", owner="local", kind="sha512-chain", state=b"\1" * 64, done=1, total=9
)


# --- refusals --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "error",
    [
        errors.NotFoundError("there is no job 7"),
        errors.KeyReusedError("used"),
        errors.JobFinishedError("over"),
        errors.CursorExpiredError("old"),
        errors.InvalidInputError("jobs.0: bad", errors=[{"field": "jobs.0", "message": "bad"}]),
        errors.QueueFullError("full", retry_after_s=9),
    ],
)
async def test_a_refusal_is_raised_as_it_was_told_and_nobody_else_is_asked(
    known: Callable[..., Orchestrators], net: respx.MockRouter, error: errors.DynworkError
) -> None:
    net.get(A + PATH).mock(return_value=refusal(error))
    orchestrators = known(A, B)
    for _ in range(2):  # refusing is answering: it is not set aside
        with pytest.raises(type(error)) as raised:
            await ask(orchestrators)
        assert raised.value.detail == error.detail
        assert raised.value.retry_after_s == error.retry_after_s
        assert getattr(raised.value, "errors", None) == getattr(error, "errors", None)
        assert hosts(net) == ["a"]


async def test_a_refused_token_is_told_to_the_operator_with_what_to_do(
    known: Callable[..., Orchestrators], net: respx.MockRouter, told: list[EventDict]
) -> None:
    net.get(A + PATH).mock(return_value=refusal(errors.UnauthorizedError("show it")))
    with pytest.raises(errors.NoOrchestratorError):
        await ask(known(A))
    event = next(event for event in told if event["event"] == "orchestrator_refuses_token")
    assert event["log_level"] == "error"
    assert "DYNWORK_API_TOKEN" in event["help"]
    assert "t0ken" not in repr(told)


async def test_the_token_is_shown_as_a_header_and_never_in_the_address(
    known: Callable[..., Orchestrators], net: respx.MockRouter
) -> None:
    route = net.get(A + PATH).mock(return_value=OK)
    orchestrators = known(A + "/")
    await orchestrators.call("GET", PATH, Reply, params={"owner": "me & you"}, timeout_s=1)
    request = route.calls.last.request
    assert request.headers["Authorization"] == "Bearer t0ken"
    assert request.url.params == httpx.QueryParams({"owner": "me & you"})
    assert "t0ken" not in str(request.url)
    assert "t0ken" not in repr(orchestrators)


# --- whom to ask -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("drawn", "first"), [(0.0, "a"), (0.34, "b"), (0.67, "c"), (0.999, "c")])
async def test_many_callers_start_at_different_orchestrators_and_then_stay(
    known: Callable[..., Orchestrators], net: respx.MockRouter, dice: Dice, drawn: float, first: str
) -> None:
    net.get(path=PATH).mock(return_value=OK)
    dice.next = drawn
    orchestrators = known(A, B, C)
    for drawn_later in (0.0, 0.5, 0.9):
        await ask(orchestrators)
        dice.next = drawn_later
    assert hosts(net) == [first] * 3


async def test_the_preferred_one_is_drawn_anew_after_a_while(
    known: Callable[..., Orchestrators], net: respx.MockRouter, dice: Dice, clock: FakeClock
) -> None:
    net.get(path=PATH).mock(return_value=OK)
    orchestrators = known(A, B)
    await ask(orchestrators)
    dice.next = 0.9
    await clock.advance(PREFER_S)
    await ask(orchestrators)
    assert hosts(net) == ["a", "b"]


async def test_one_that_failed_is_not_asked_while_it_rests_and_another_answers(
    known: Callable[..., Orchestrators], net: respx.MockRouter
) -> None:
    net.get(A + PATH).mock(side_effect=httpx.ConnectError("refused"))
    net.get(B + PATH).mock(return_value=OK)
    orchestrators = known(A, B)
    for _ in range(4):
        await ask(orchestrators)
    assert hosts(net) == ["a", "b", "b", "b", "b"]


async def test_callers_come_back_to_one_that_recovered(
    known: Callable[..., Orchestrators], net: respx.MockRouter, clock: FakeClock, told: list[EventDict]
) -> None:
    at_a = net.get(A + PATH).mock(side_effect=httpx.ConnectError("refused"))
    net.get(B + PATH).mock(return_value=OK)
    orchestrators = known(A, B)
    await ask(orchestrators)
    at_a.mock(side_effect=None, return_value=OK)
    await clock.advance(PREFER_S)
    await ask(orchestrators)
    await ask(orchestrators)
    assert hosts(net) == ["a", "b", "a", "a"]
    assert [event["event"] for event in told] == ["orchestrator_failed", "orchestrator_recovered"]


async def test_one_that_rests_is_asked_all_the_same_when_every_other_fails(
    known: Callable[..., Orchestrators], net: respx.MockRouter
) -> None:
    at_a = net.get(A + PATH).mock(side_effect=httpx.ConnectError("refused"))
    at_b = net.get(B + PATH).mock(return_value=OK)
    orchestrators = known(A, B)
    await ask(orchestrators)
    at_b.mock(side_effect=httpx.ConnectError("refused"), return_value=None)
    at_a.mock(side_effect=None, return_value=OK)
    await ask(orchestrators)
    assert hosts(net) == ["a", "b", "b", "a"]


async def test_rests_double_up_to_a_bound_and_begin_anew_after_an_answer(
    known: Callable[..., Orchestrators], net: respx.MockRouter, clock: FakeClock, dice: Dice, told: list[EventDict]
) -> None:
    at_a = net.get(A + PATH).mock(side_effect=httpx.ConnectError("refused"))
    orchestrators = known(A)
    dice.next = 0.999999  # the longest rest that the jitter gives

    async def fail_after(seconds: float) -> list[int]:
        told.clear()
        await clock.advance(seconds)
        with pytest.raises(errors.NoOrchestratorError):
            await ask(orchestrators)
        return [event["failures"] for event in told]

    assert await fail_after(0) == [1]
    rest_s = REST_S
    for failures in range(2, 9):
        assert await fail_after(rest_s * 0.99) == []  # still resting: one failure, told once
        assert await fail_after(rest_s * 0.02) == [failures]
        rest_s = min(rest_s * 2, REST_S_MAX)
    assert rest_s == REST_S_MAX
    at_a.mock(side_effect=None, return_value=OK)
    await ask(orchestrators)
    at_a.mock(side_effect=httpx.ConnectError("refused"), return_value=None)
    assert await fail_after(0) == [1]


async def test_troubles_are_named_once_without_addresses_until_there_is_an_answer(
    known: Callable[..., Orchestrators], net: respx.MockRouter
) -> None:
    at_all = net.get(path=PATH).mock(side_effect=httpx.ConnectError("refused"))
    orchestrators = known(A, B)
    with pytest.raises(errors.NoOrchestratorError):
        await ask(orchestrators)
    assert orchestrators.troubles == ["ConnectError"]
    at_all.mock(side_effect=None, return_value=OK)
    await asyncio.gather(*[ask(orchestrators) for _ in range(4)])
    assert len(orchestrators.troubles) <= 1  # of those not asked since


async def test_calls_that_fail_together_are_one_failure(
    known: Callable[..., Orchestrators], net: respx.MockRouter, told: list[EventDict]
) -> None:
    net.get(A + PATH).mock(side_effect=httpx.ConnectError("refused"))
    orchestrators = known(A)
    ended = await asyncio.gather(*[ask(orchestrators) for _ in range(50)], return_exceptions=True)
    assert {type(one) for one in ended} == {errors.NoOrchestratorError}
    assert [event["failures"] for event in told] == [1]


class Held:
    """An orchestrator that keeps its callers waiting until the test lets go."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.let_go = asyncio.Event()

    async def __call__(self, _request: httpx.Request) -> httpx.Response:
        self.waiting.set()
        await self.let_go.wait()
        return OK


async def test_after_its_rest_one_call_tries_it_while_the_others_go_elsewhere(
    known: Callable[..., Orchestrators], net: respx.MockRouter, clock: FakeClock
) -> None:
    at_a = net.get(A + PATH).mock(side_effect=httpx.ConnectError("refused"))
    net.get(B + PATH).mock(return_value=OK)
    orchestrators = known(A, B)
    await ask(orchestrators)
    await clock.advance(PREFER_S)
    hosts(net)
    held = Held()
    at_a.mock(side_effect=held)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ask(orchestrators))
        await held.waiting.wait()
        for _ in range(3):
            await ask(orchestrators)
        assert hosts(net) == ["b", "b", "b"]
        held.let_go.set()
    await clock.advance(PREFER_S)
    hosts(net)
    await ask(orchestrators)
    assert hosts(net) == ["a"], "it answered: it is one of them again"


async def test_a_call_that_waits_for_one_that_failed_another_is_moved_on(
    known: Callable[..., Orchestrators], net: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dynwork.orchestrators.LINGER_S", 0.0)
    held = Held()
    at_a = net.get(A + PATH).mock(side_effect=held)
    net.get(B + PATH).mock(return_value=OK)
    orchestrators = known(A, B)
    async with asyncio.TaskGroup() as tasks:
        parked = tasks.create_task(orchestrators.call("GET", PATH, Reply, timeout_s=1000))
        await held.waiting.wait()
        at_a.mock(side_effect=httpx.ConnectError("refused"))
        await ask(orchestrators)
        await parked
    assert hosts(net).count("b") == 2


async def test_a_call_that_would_be_given_up_sooner_is_not_given_more_time(
    known: Callable[..., Orchestrators], net: respx.MockRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dynwork.orchestrators.LINGER_S", 1000.0)
    held = Held()
    at_a = net.get(A + PATH).mock(side_effect=held)
    net.get(B + PATH).mock(return_value=OK)
    orchestrators = known(A, B)
    async with asyncio.TaskGroup() as tasks:
        under_way = tasks.create_task(orchestrators.call("GET", PATH, Reply, timeout_s=0.05))
        await held.waiting.wait()
        at_a.mock(side_effect=httpx.ConnectError("refused"))
        await ask(orchestrators)
        await under_way
    assert hosts(net).count("b") == 2


# --- the living ------------------------------------------------------------------------------------------------------
def naming(*urls: str) -> httpx.Response:
    return httpx.Response(200, json={"orchestrators": list(urls)})


async def test_the_living_are_learned_from_replies_and_replace_one_another_but_seeds_stay(
    known: Callable[..., Orchestrators], net: respx.MockRouter
) -> None:
    orchestrators = known(A)
    at_a = net.get(A + PATH).mock(return_value=naming(A, B + "/"))
    await ask(orchestrators)
    at_a.mock(side_effect=httpx.ConnectError("gone"), return_value=None)
    at_b = net.get(B + PATH).mock(return_value=naming(B, C))
    await ask(orchestrators)
    at_b.mock(side_effect=httpx.ConnectError("gone"), return_value=None)
    net.get(C + PATH).mock(return_value=naming(C))
    await ask(orchestrators)
    hosts(net)
    net.get(C + PATH).mock(side_effect=httpx.ConnectError("gone"))
    with pytest.raises(errors.NoOrchestratorError):
        await ask(orchestrators)
    assert sorted(hosts(net)) == ["a", "c"]  # b has left; a is a seed


async def test_the_named_come_before_seeds_that_the_last_reply_did_not_name(
    known: Callable[..., Orchestrators], net: respx.MockRouter, dice: Dice
) -> None:
    net.get(path=PATH).mock(return_value=naming(B, C))
    orchestrators = known(A)
    await ask(orchestrators)
    net.get(path=PATH).mock(side_effect=httpx.ConnectError("gone"))
    hosts(net)
    dice.next = 0.5
    with pytest.raises(errors.NoOrchestratorError):
        await ask(orchestrators)
    assert hosts(net) == ["c", "b", "a"]


async def test_a_seed_comes_before_a_named_one_that_is_set_aside(
    known: Callable[..., Orchestrators], net: respx.MockRouter, clock: FakeClock
) -> None:
    at_a = net.get(A + PATH).mock(return_value=naming(B))
    at_b = net.get(B + PATH).mock(side_effect=httpx.ConnectError("refused"))
    orchestrators = known(A)
    for _ in range(3):
        await ask(orchestrators)
    assert hosts(net) == ["a", "b", "a", "a"]
    at_b.mock(side_effect=None, return_value=naming(B))
    at_a.mock(return_value=naming(B))
    await clock.advance(REST_S)
    await ask(orchestrators)
    assert hosts(net) == ["b"], "the named one is back in its place as soon as it has rested"


async def test_a_reply_that_names_nobody_changes_nothing(
    known: Callable[..., Orchestrators], net: respx.MockRouter
) -> None:
    orchestrators = known(A)
    at_a = net.get(A + PATH).mock(return_value=naming(A, B))
    await ask(orchestrators)
    at_a.mock(return_value=naming())
    await ask(orchestrators)
    at_a.mock(side_effect=httpx.ConnectError("gone"), return_value=None)
    net.get(B + PATH).mock(return_value=OK)
    await ask(orchestrators)
    assert hosts(net) == ["a", "a", "a", "b"]


async def test_what_is_remembered_is_bounded_and_only_addresses(
    known: Callable[..., Orchestrators], net: respx.MockRouter
) -> None:
    orchestrators = known(A)
    crowd = [f"http://n{index}:1" for index in range(1000)]
    net.get(A + PATH).mock(return_value=naming("ftp://x", "file:///etc/passwd", "", *crowd))
    await ask(orchestrators)
    net.get(path=PATH).mock(side_effect=httpx.ConnectError("gone"))
    hosts(net)
    net.get(A + PATH).mock(side_effect=httpx.ConnectError("gone"))
    with pytest.raises(errors.NoOrchestratorError):
        await ask(orchestrators)
    asked = hosts(net)
    assert len(asked) <= LIVING_MAX + 1
    assert {host for host in asked if not host.startswith("n")} == {"a"}
