"""What no store can keep does not get past the wire."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from dynwork.ids import new_id
from dynwork.wire import Failure, LeaseAsk, NewJob

JOB: dict[str, Any] = {
    "job_id": new_id(),
    "owner": "ann",
    "key": "k",
    "kind": "sha512-chain",
    "state": "00",
    "done": 1,
    "total": 2,
}
ASK: dict[str, Any] = {"worker_id": "w", "incarnation": "i", "capacity": 1, "chain_speed": 1, "lanes": 1}


@pytest.mark.parametrize("field", ["owner", "key", "kind"])
def test_a_name_with_a_nul_is_refused(field: str) -> None:
    NewJob.model_validate(JOB)
    with pytest.raises(ValidationError):
        NewJob.model_validate({**JOB, field: "a\0b"})


def test_prose_loses_its_nuls() -> None:
    """The words of somebody's exception must not keep the report of it from being taken."""
    assert Failure(job_id=new_id(), epoch=1, code="broken", detail="a\0b").detail == "a\N{REPLACEMENT CHARACTER}b"
    assert LeaseAsk.model_validate({**ASK, "host": "h\0"}).host == "h\N{REPLACEMENT CHARACTER}"
