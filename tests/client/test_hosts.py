"""Which API is asked, and how long a call goes on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx
import pytest

from dynwork import AsyncClient, errors
from dynwork.client._hosts import Hosts, Patience
from dynwork.testing.public_api import VirtualTime, problem

ONE, TWO = "http://one.test", "http://two.test"
DOWN = httpx.ConnectError("refused")
STATS = dict.fromkeys(("queued", "leased", "succeeded", "dead", "cancelled"), 0)
FINE = httpx.Response(
    200,
    json={
        **STATS,
        "backlog_steps": 0,
        "backlog_s": None,
        "submitted_per_s": 0,
        "completed_per_s": 0,
        "oldest_wait_s": 0,
    },
)


def test_calls_take_the_apis_in_turn_from_a_random_one_on() -> None:
    hosts = Hosts(["a", "b", "c"], lambda: 0.5)
    assert [hosts.pick(0.0) for _ in range(4)] == ["b", "c", "a", "b"]


def test_one_that_failed_is_left_out_for_a_time_that_doubles() -> None:
    hosts = Hosts(["a", "b"], lambda: 0.0)
    hosts.failed("a", 0.0)
    assert [hosts.pick(0.2) for _ in range(2)] == ["b", "b"]
    assert hosts.pick(0.25) == "a"
    hosts.failed("a", 0.25)
    assert [hosts.pick(0.7) for _ in range(2)] == ["b", "b"]
    hosts.answered("a")
    assert {hosts.pick(0.7) for _ in range(2)} == {"a", "b"}


def test_failures_of_calls_under_way_together_count_once() -> None:
    hosts = Hosts(["a", "b"], lambda: 0.0)
    for _ in range(10):
        hosts.failed("a", 0.0)
    assert "a" in [hosts.pick(0.25) for _ in range(2)]


def test_if_all_are_left_out_the_one_whose_rest_ends_first_is_asked() -> None:
    hosts = Hosts(["a", "b"], lambda: 0.0)
    hosts.failed("b", 0.0)
    hosts.failed("a", 0.1)
    assert hosts.pick(0.2) == "b"


def test_the_pause_doubles_up_to_a_bound_and_is_jittered() -> None:
    time = VirtualTime()
    low = Patience(1000, 1, time.monotonic, lambda: 0.0)
    high = Patience(1000, 1, time.monotonic, lambda: 1.0)
    failure = errors.NoAnswerError("x")
    assert [low.pause_s(failure) for _ in range(8)] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.5, 2.5]
    assert [high.pause_s(failure) for _ in range(3)] == [0.1, 0.2, 0.4]


def test_the_next_api_is_asked_without_a_pause() -> None:
    patience = Patience(1000, 3, VirtualTime().monotonic, lambda: 0.0)
    assert [patience.pause_s(errors.NoAnswerError("x")) for _ in range(6)] == [0, 0, 0.05, 0, 0, 0.1]


def test_what_retry_after_asks_for_is_heeded_and_one_that_asks_for_too_long_ends_it() -> None:
    time = VirtualTime()
    patience = Patience(10, 1, time.monotonic, lambda: 0.0)
    assert patience.pause_s(errors.QueueFullError("x", retry_after_s=4)) == 4
    jittered = Patience(10, 1, time.monotonic, lambda: 1.0)
    assert jittered.pause_s(errors.QueueFullError("x", retry_after_s=4)) == 5
    failure = errors.QueueFullError("y", retry_after_s=11)
    with pytest.raises(errors.QueueFullError) as raised:
        patience.pause_s(failure)
    assert raised.value is failure


def test_patience_counts_from_the_first_failure() -> None:
    time = VirtualTime()
    patience = Patience(10, 1, time.monotonic, lambda: 0.0)
    time.now += 1000
    patience.pause_s(errors.NoAnswerError("x"))
    time.now += 10
    with pytest.raises(errors.NoAnswerError):
        patience.pause_s(errors.NoAnswerError("x"))


@dataclass
class Apis:
    """What each API says, time after time."""

    says: dict[str, list[httpx.Response | Exception]]

    def __post_init__(self) -> None:
        self.asked: list[str] = []
        self.time = VirtualTime()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        url = f"{request.url.scheme}://{request.url.host}"
        self.asked.append(url)
        said = self.says[url].pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    def client(self, patience_s: float = 60.0) -> AsyncClient:
        return AsyncClient(list(self.says), patience_s=patience_s, outside=self.time.outside(self))


async def test_an_api_that_is_down_costs_no_time_while_another_answers() -> None:
    apis = Apis({ONE: [DOWN], TWO: [FINE, FINE]})
    async with apis.client() as client:
        await client.stats()
        await client.stats()
    assert apis.asked == [ONE, TWO, TWO]
    assert apis.time.slept == []


@pytest.mark.parametrize(
    "failure",
    [
        DOWN,
        httpx.ReadError("reset"),
        httpx.ReadTimeout("silent"),
        httpx.RemoteProtocolError("cut"),
        problem(503, "no_orchestrator"),
        problem(429, "queue_full"),
        httpx.Response(429, text="slow down"),
        httpx.Response(502, text="<html>"),
        httpx.Response(503, json={"message": "Service Unavailable"}),
        httpx.Response(504, text="<html>"),
    ],
)
async def test_what_may_be_different_soon_is_tried_again(failure: httpx.Response | Exception) -> None:
    apis = Apis({ONE: [failure, failure, FINE]})
    async with apis.client() as client:
        await client.stats()
    assert apis.asked == [ONE] * 3


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500])
async def test_a_refusal_is_not_asked_again(status: int) -> None:
    apis = Apis({ONE: [problem(status, "some_code")], TWO: []})
    async with apis.client() as client:
        with pytest.raises(errors.DynworkError):
            await client.stats()


async def test_at_the_end_of_patience_the_last_failure_is_raised() -> None:
    apis = Apis({ONE: [DOWN] * 100, TWO: [problem(503, "store_unavailable", Retry_After="2")] * 100})
    async with apis.client(patience_s=10) as client:
        with pytest.raises(errors.UnavailableError):
            await client.stats()
    assert sum(apis.time.slept) == pytest.approx(10, abs=3)
    assert 8 < len(apis.asked) < 20


async def test_without_patience_every_api_is_asked_once() -> None:
    apis = Apis({ONE: [DOWN], TWO: [DOWN]})
    async with apis.client(patience_s=0) as client:
        with pytest.raises(errors.NoAnswerError, match=r"no answer from http://two\.test \(ConnectError\)"):
            await client.stats()
    assert apis.asked == [ONE, TWO]


async def test_an_answer_says_how_long_to_wait_before_the_next_attempt() -> None:
    apis = Apis({ONE: [problem(429, "queue_full", Retry_After="7"), FINE]})
    async with apis.client() as client:
        await client.stats()
    assert apis.time.slept == [7]


@pytest.mark.parametrize("status", [429, 503])
async def test_a_load_balancer_without_an_api_is_left_for_the_next_address(status: int) -> None:
    apis = Apis({ONE: [httpx.Response(status)], TWO: [FINE]})
    async with apis.client() as client:
        await client.stats()
    assert (apis.asked, apis.time.slept) == ([ONE, TWO], [])


@pytest.mark.parametrize("status", [429, 503])
async def test_a_load_balancer_says_how_long_to_wait_too(status: int) -> None:
    apis = Apis({ONE: [httpx.Response(status, text="<html>", headers={"Retry-After": "7"}), FINE]})
    async with apis.client() as client:
        await client.stats()
    assert apis.time.slept == [7]


@pytest.mark.parametrize("wait", ["²".encode(), "٣".encode(), b"soon", b"-1", b"Wed, 21 Oct 2026 07:28:00 GMT"])
async def test_what_is_no_number_of_seconds_is_no_wish(wait: bytes) -> None:
    refused = [
        httpx.Response(503, content=content, headers={b"Retry-After": wait})
        for content in (b"<html>", problem(503, "no_orchestrator").content)
    ]
    apis = Apis({ONE: [*refused, FINE]})
    async with apis.client() as client:
        await client.stats()
    assert apis.time.slept == [0.05, 0.1]


async def test_one_that_has_answered_again_is_left_out_no_longer_than_at_first() -> None:
    apis = Apis({ONE: [DOWN, FINE, DOWN, FINE], TWO: [FINE] * 3})
    async with apis.client() as client:
        for pause_s in (0.25, 0, 0, 0.25, 0):
            await client.stats()
            apis.time.now += pause_s
    assert apis.asked == [ONE, TWO, ONE, TWO, ONE, TWO, ONE]


async def test_an_address_on_this_machine_is_reached_without_a_proxy_and_another_through_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, *_ = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        asked.append(line.split()[1])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(FINE.content), FINE.content))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        here = (
            f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"  # the API and the proxy: both write what is asked
        )
        monkeypatch.setenv("HTTP_PROXY", here)
        monkeypatch.setenv("http_proxy", here)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with AsyncClient([here, TWO], patience_s=0) as client:
            await client.stats()
            await client.stats()
    assert sorted(asked) == ["/stats", f"{TWO}/stats"], "a proxy is told the whole address"
