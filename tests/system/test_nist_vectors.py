"""The SHA-512 vectors of NIST, in front of the public API: what clients are answered is SHA-512, by its authors' word.

From the package ``cryptography-vectors`` (CAVS 11.0): every message but the empty one, which an API refuses. The chains
of the Monte Carlo file hash three digests at a time, and are not ours.
"""

from __future__ import annotations

import hashlib
import re
from functools import partial
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import pytest

from dynwork.testing.ensemble import Ensemble
from dynwork.testing.ledger import Ledger

pytestmark = pytest.mark.system

FILES = ("SHA512ShortMsg.rsp", "SHA512LongMsg.rsp")
MESSAGES = 128
"""In each file, the empty one not counted."""
ENTRY = re.compile(r"Len = (\d+)\s+Msg = ([0-9a-f]+)\s+MD = ([0-9a-f]{128})")


class Vector(NamedTuple):
    message: bytes
    digest: bytes


def vectors(file: str) -> list[Vector]:
    text = (resources.files("cryptography_vectors") / "hashes" / "SHA2" / file).read_text()
    entries = [(int(bits), bytes.fromhex(message), bytes.fromhex(md)) for bits, message, md in ENTRY.findall(text)]
    assert all(bits == 8 * len(message) for bits, message, _ in entries if bits)
    return [Vector(message, digest) for bits, message, digest in entries if bits]


def test_every_message_of_nist_is_answered_with_its_digest_and_with_the_digest_of_that(tmp_path: Path) -> None:
    found = [vector for file in FILES for vector in vectors(file)]
    assert len(found) == len(FILES) * MESSAGES
    with Ensemble(tmp_path / "data", {}) as cluster, Ledger(cluster.api_urls) as ledger:
        for message, digest in found:
            twice = hashlib.sha512(digest)
            chain = [digest.hex(), twice.hexdigest(), hashlib.sha512(twice.digest()).hexdigest()]
            for iterations, expected in enumerate(chain, 1):
                ledger.submit_as(message, iterations, "succeeded", partial(str, expected))
        ledger.await_all()
        assert len(ledger.entries) == 3 * len(found)
