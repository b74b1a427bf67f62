"""What an EC2 machine runs at its first boot: a script that makes it a worker. Pure.

Made for Amazon Linux 2023, whose Python is 3.9: 3.11 is a package. The release is a folder in S3 with the wheel of
dynwork, the wheels that it needs, ``requirements.txt`` with their hashes, and ``SHA256SUMS`` over all of these; the
script knows the hash of that one. The workers' token is read from a parameter of SSM, which is the only secret that the
machine's role may read. What fails ends the machine, and with it the bill: the orchestrator sees that and tries anew.

The unit restarts a worker whatever ended it, but one that has not heard of any orchestrator for too long
(:data:`dynwork.exits.ORPHANED`) ends its machine, as does one that cannot start a hundred times in a row.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dynwork.errors import ConfigurationError
from dynwork.units import unit

BYTES_MAX = 16 * 1024
"""What EC2 takes as user data, bytes."""

_RELEASE = re.compile(r"s3://[a-z0-9.-]{3,63}/[\w./+-]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[\w./-]{1,1011}")


@dataclass(frozen=True, slots=True)
class BootPlan:
    """Everything that the script says of the cluster. ``variables``: further settings of the worker.

    ``release``: ``s3://bucket/prefix``; ``release_sha256``: of its ``SHA256SUMS``, hex; ``secret``: the SSM parameter
    with the workers' token; ``orchestrator_urls``: the seeds.
    """

    region: str
    release: str
    release_sha256: str
    secret: str
    orchestrator_urls: Sequence[str]
    variables: Mapping[str, str]

    def __post_init__(self) -> None:
        for value, pattern, what in (
            (self.release, _RELEASE, "the release must be s3://bucket/prefix"),
            (self.release_sha256, _SHA256, "the hash of the release must be 64 hex digits, of its SHA256SUMS"),
            (self.secret, _NAME, "the secret must be the name of an SSM parameter"),
            (self.region, _NAME, "the region must be a name like eu-central-1"),
        ):
            if not pattern.fullmatch(value):
                raise ConfigurationError(f"{what}, not {value!r}")


def boot_script(plan: BootPlan, instance_id: str) -> str:
    """Return the script for the machine of ``instance_id``. Raises ``ConfigurationError`` if EC2 would not take it."""
    script = _SCRIPT.format(
        region=shlex.quote(plan.region),
        release=shlex.quote(plan.release.rstrip("/")),
        sha256=plan.release_sha256,
        secret=shlex.quote(plan.secret),
        environment=_environment(plan, instance_id),
        unit=unit("worker", ends_machine=True),
    )
    if len(script.encode()) > BYTES_MAX:
        raise ConfigurationError(f"the boot script has {len(script.encode())} bytes, and EC2 takes {BYTES_MAX}")
    return script


def _environment(plan: BootPlan, instance_id: str) -> str:
    """Return the lines of the worker's environment file, all but the token's."""
    variables = {
        **plan.variables,
        "DYNWORK_ORCHESTRATOR_URLS": ",".join(plan.orchestrator_urls),
        "DYNWORK_WORKER_ID": instance_id,
        "DYNWORK_WORKER_INSTANCE_ID": instance_id,
        "DYNWORK_WORKER_NOTICES": "ec2",
        "DYNWORK_LOG_FORMAT": "json",
    }
    for name, value in variables.items():
        if not re.fullmatch(r"[A-Z_]+", name) or not re.fullmatch(r"[\w.,:/@+=\[\]-]*", value):
            raise ConfigurationError(f"{name}={value!r} cannot be written into the environment of a unit")
    return "\n".join(f"{name}={value}" for name, value in sorted(variables.items()))


_SCRIPT = r"""#!/bin/bash
# Makes this machine a dynwork worker. What fails ends the machine: the orchestrator sees that, and tries anew.
set -euo pipefail
umask 077
line=0
trap 'line=$LINENO' ERR
trap 'if [ $? != 0 ]; then echo "dynwork: the boot failed in line $line"; systemctl poweroff; fi' EXIT
export AWS_DEFAULT_REGION={region}

dnf install --assumeyes --quiet python3.11 python3.11-pip

# The release: one folder, every file in it checked by its hash, and no other file in it.
release=/var/lib/dynwork-release
mkdir -p "$release"
cd "$release"
aws s3 cp --recursive --only-show-errors {release}/ .
echo '{sha256}  SHA256SUMS' | sha256sum --check --quiet
sha256sum --check --quiet --strict SHA256SUMS
diff <(find . -type f ! -path ./SHA256SUMS -printf '%P\n' | sort) <(cut -c67- SHA256SUMS | sort)
python3.11 -I -m venv --clear /opt/dynwork
/opt/dynwork/bin/python -I -m pip install --quiet --no-index --find-links . --require-hashes -r requirements.txt
/opt/dynwork/bin/python -I -m pip install --quiet --no-index --no-deps ./dynwork-*.whl
chmod -R a+rX /opt/dynwork

# Its settings, and the one secret.
mkdir -p /etc/dynwork
cat >/etc/dynwork/worker.env <<'SETTINGS'
{environment}
SETTINGS
token=$(aws ssm get-parameter --name {secret} --with-decryption --query Parameter.Value --output text)
if [[ ! $token =~ ^[A-Za-z0-9._~+/=-]+$ ]]; then
    echo 'dynwork: the token has characters that an environment file does not keep'
    exit 1
fi
echo "DYNWORK_WORKER_TOKEN=$token" >>/etc/dynwork/worker.env

cat >/etc/systemd/system/dynwork-worker.service <<'UNIT'
{unit}UNIT
systemctl daemon-reload
systemctl enable --now dynwork-worker.service
"""
