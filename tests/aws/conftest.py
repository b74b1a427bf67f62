"""AWS for the tests, with credentials that are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest
from tests.aws.lab.cloud import Cloud, local_cloud


@pytest.fixture(scope="module")
def shared_cloud() -> Iterator[Cloud]:
    with local_cloud() as cloud:
        yield cloud


@pytest.fixture
def cloud(shared_cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """A cloud in which nothing fails and no launch token was used, which clients made now talk to."""
    shared_cloud.mend()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": shared_cloud.url,
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    return shared_cloud


@pytest.fixture
def service(cloud: Cloud) -> Callable[[str], Any]:
    """Return a client of one of that cloud's services."""
    session = botocore.session.get_session()
    return lambda name: session.create_client(name)
