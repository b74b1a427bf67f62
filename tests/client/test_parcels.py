"""What travels: of the built-in chain the digest, of other kinds the buffer; many together, a big one alone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import httpx
import pytest

from dynwork import AsyncClient, Digest, Work, errors
from dynwork.testing.public_api import PublicApi, VirtualTime, hash_of, problem

OTHER = "odd-kind"
"""A kind that is not built in: its buffers travel."""


def client_of(api: PublicApi) -> AsyncClient:
    return AsyncClient("http://api.test", outside=VirtualTime().outside(api))


async def test_of_the_built_in_chain_only_the_digest_travels_whatever_the_buffer_is(tmp_path: Path) -> None:
    api, file = PublicApi(), tmp_path / "file"
    file.write_bytes(b"z" * 5_000_000)
    async with client_of(api) as client:
        ids = [
            await client.submit(buffer, 7, priority=9)
            for buffer in (file, file.read_bytes(), Digest(hashlib.sha512(file.read_bytes()).hexdigest()))
        ]
    items = [api.jobs[job_id].item for job_id in ids]
    assert {item["sha512"] for item in items} == {hashlib.sha512(b"z" * 5_000_000).hexdigest()}
    assert {(item["iterations"], item["priority"], item["kind"]) for item in items} == {(7, 9, "sha512-chain")}
    assert all(len(request.content) < 500 for request in api.requests)


async def test_a_buffer_of_another_kind_travels_and_a_big_one_alone(tmp_path: Path) -> None:
    api, file = PublicApi(), tmp_path / "file"
    file.write_bytes(b"z" * 3_000_000)
    buffers = [b"0", b"1", file.read_bytes(), b"3"]
    given = [Work(file if place == 2 else buffer, 7, kind=OTHER) for place, buffer in enumerate(buffers)]
    async with client_of(api) as client:
        receipts = await client.submit_all(given)
    sent = [hash_of(api.jobs[receipt.value()].item) for receipt in receipts]
    assert sent == [hashlib.sha512(buffer).hexdigest() for buffer in buffers]
    assert (api.count("PUT", "/enqueue"), api.count("POST", "/jobs")) == (1, 1)


async def test_a_call_holds_no_more_than_its_bound() -> None:
    api = PublicApi()
    given = [Work(b"%07d" % number * 70_000, 7, kind=OTHER) for number in range(12)]
    async with client_of(api) as client:
        await client.submit_all(given)
    assert max(len(request.content) for request in api.requests) < 2.2 * 1024**2
    assert [len(json.loads(request.content)["jobs"]) for request in api.requests] == [3, 3, 3, 3]


async def test_a_single_buffer_that_is_refused_is_that_work_s_refusal() -> None:
    api = PublicApi()
    api.faults = iter([problem(413, "body_too_large")])
    async with client_of(api) as client:
        receipt, fine = await client.submit_all([Work(b"z" * 3_000_000, 7, kind=OTHER), Work(b"x", 7)])
    assert isinstance(receipt.error, errors.BodyTooLargeError)
    assert fine.value() in api.jobs


async def test_a_repeated_call_names_the_same_job_though_no_key_was_given() -> None:
    api = PublicApi()
    api.lost = iter([httpx.ReadError("cut"), httpx.ReadError("cut")])
    async with client_of(api) as client:
        assert [await client.submit(b"x", 7)] == list(api.jobs)
        assert len(api.jobs) == 1
        await client.submit(b"x", 7)
    assert len(api.jobs) == 2, "each submission of its own is a job of its own"


@pytest.mark.parametrize("size", [1, 3_000_000])
@pytest.mark.parametrize("key", ["na\u00efve", "two\nlines", "\udcff", "space ", "k" * 257])
async def test_a_key_that_not_every_call_can_carry_is_refused_alone_however_its_buffer_travels(
    key: str, size: int
) -> None:
    api = PublicApi()
    async with client_of(api) as client:
        odd, fine = await client.submit_all([Work(b"z" * size, 7, kind=OTHER, key=key), Work(b"x", 7, key="k" * 256)])
    assert isinstance(odd.error, errors.InvalidInputError)
    assert list(api.jobs) == [fine.value()]


class Narrow(PublicApi):
    """Takes no body that is longer than this, bytes."""

    def __init__(self, bytes_max: int, *, tells: bool = True) -> None:
        super().__init__()
        self.bytes_max = bytes_max
        self.tells = tells
        self.refused = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if len(request.content) <= self.bytes_max:
            return super().__call__(request)
        self.refused += 1
        return problem(413, "body_too_large") if self.tells else httpx.Response(413, text="<html>")


@pytest.mark.parametrize("tells", [True, False])
async def test_a_call_that_is_too_long_is_split_and_what_is_too_long_alone_is_refused_alone(tells: bool) -> None:
    api = Narrow(2_000, tells=tells)
    given = [Work(b"z" * 3_000 if number == 7 else b"%d" % number, 7, kind=OTHER) for number in range(2_500)]
    async with client_of(api) as client:
        receipts = await client.submit_all(given)
    assert [place for place, receipt in enumerate(receipts) if receipt.error] == [7]
    assert isinstance(receipts[7].error, errors.BodyTooLargeError)
    assert [hash_of(api.jobs[receipt.value()].item) for receipt in receipts if not receipt.error] == [
        hashlib.sha512(b"%d" % number).hexdigest() for number in range(2_500) if number != 7
    ]
    assert api.refused < 20, "its bound is found out once"


BAD = {
    "kind": Work(b"a", 3, kind="\udcff"),
    "long buffer": Work(b"a" * 3_000_000, 3, kind="\udcff"),
    "no name": Work(Path("a\0b"), 1),
    "no UTF-8": Work(Path("\ud800"), 1),
    "steps": Work(b"a", 10**5000),
    "long buffer's steps": Work(b"a" * 3_000_000, 10**5000, kind=OTHER),
    "priority": Work(b"a", 1, float("nan")),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_a_work_that_no_call_can_carry_is_refused_alone(bad: Work) -> None:
    api = PublicApi()
    async with client_of(api) as client:
        one, odd, two = await client.submit_all([Work(b"1", 1), bad, Work(b"2", 1)])
    assert isinstance(odd.error, errors.InvalidInputError)
    assert list(api.jobs) == [one.value(), two.value()]


async def test_a_work_for_which_the_whole_call_is_refused_is_refused_alone() -> None:
    class Strict(PublicApi):
        """Understands no message with a lone surrogate in it."""

        def __call__(self, request: httpx.Request) -> httpx.Response:
            return problem(422, "invalid_input") if b"\\udcff" in request.content else super().__call__(request)

    api = Strict()
    async with client_of(api) as client:
        odd, *fine = await client.submit_all([Work(Digest("\udcff"), 7), *(Work(b"%d" % n, 7) for n in range(100))])
    assert isinstance(odd.error, errors.InvalidInputError)
    assert [receipt.value() for receipt in fine] == list(api.jobs)


@pytest.mark.parametrize("data", ["name", bytearray(b"x"), None])
def test_what_is_no_buffer_is_told_where_the_work_is_made(data: object) -> None:
    with pytest.raises(TypeError, match=r"Path\(name\)"):
        Work(data, 7)  # type: ignore[arg-type]
