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


@pytest.mark.parametrize("data", ["name", bytearray(b"x"), None])
def test_what_is_no_buffer_is_told_where_the_work_is_made(data: object) -> None:
    with pytest.raises(TypeError, match=r"Path\(name\)"):
        Work(data, 7)  # type: ignore[arg-type]
