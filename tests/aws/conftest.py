"""AWS for the tests, with credentials that are none."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from tests.aws.lab.cloud import Cloud, local_cloud
from tests.aws.lab.image import ROOT, command_line
from tests.aws.script import ACCOUNT, NOBODY, REGION, SECRETS, Person, Service, empty


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


@pytest.fixture
def anybody(tmp_path: Path) -> Person:
    """Somebody without a cloud."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return Person({**kept, "HOME": str(tmp_path), "AWS_ENDPOINT_URL": NOBODY, "AWS_MAX_ATTEMPTS": "1"})


@pytest.fixture
def person(cloud: Cloud, service: Service, anybody: Person, tmp_path: Path) -> Iterator[Person]:
    """Somebody with credentials in that cloud, of whose addresses none can be reached."""
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "aws").symlink_to(command_line(ROOT / ".venv" / "lab"))
    (tmp_path / "cli" / "curl").write_text(
        "#!/bin/bash\necho \"$*\" >>~/asked\necho 'curl: (6) Could not resolve host' >&2\nexit 6\n"
    )
    (tmp_path / "cli" / "curl").chmod(0o755)
    yield Person(
        {
            **anybody.environment,
            "PATH": f"{tmp_path / 'cli'}:{os.environ['PATH']}",
            "AWS_ENDPOINT_URL": cloud.url,
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_SECRET_ACCESS_KEY": "lab",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
    )
    cloud.mend()
    empty(service)


@pytest.fixture
def release(service: Service) -> str:
    """The release of this checkout and the secrets, as if an earlier run had made them."""
    named = subprocess.run([ROOT / "scripts" / "release.sh", "--name"], capture_output=True, text=True, check=True)
    release, bucket = f"releases/{named.stdout.strip()}", f"dynwork-dynwork-{ACCOUNT}-{REGION}"
    service("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    service("s3").put_object(Bucket=bucket, Key=f"{release}/SHA256SUMS", Body=b"sums")
    for name in SECRETS:
        service("ssm").put_parameter(Name=name, Value="a-secret", Type="SecureString")
    return release
