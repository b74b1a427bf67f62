"""What an instance finds on its disk that this machine does not have: the image, on top of this machine's root.

Amazon Linux has the AWS CLI, and ``dnf`` that finds Python 3.11 in a repository. Here the CLI is the real one, unpacked
from its wheel, with the lab's address for AWS; ``dnf`` knows the packages that this machine has as its own, and
CloudWatch's agent, of which there is no more than its control program, which reads what it is told to do.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]
PINS = ROOT / "requirements" / "runtime.txt"
CLI = "aws-cdk-asset-awscli-v2==2.0.198"
"""AWS's own CLI, version 2, in a wheel; as a dependency it would bring 300 MB more."""
DNF = """#!/bin/bash
# The package manager of the image: what it knows is there already.
for name in "$@"; do
    case $name in
    install | --assumeyes | --quiet) ;;
    python3.11) command -v python3.11 >/dev/null || { echo "No match for argument: $name"; exit 1; } ;;
    python3.11-pip) python3.11 -m ensurepip --version >/dev/null || { echo "No match for argument: $name"; exit 1; } ;;
    amazon-cloudwatch-agent) install -D -m755 /usr/local/lib/cloudwatch-agent \
        /opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl ;;
    *) echo "No match for argument: $name"; exit 1 ;;
    esac
done
"""
AGENT = """#!/bin/bash
# amazon-cloudwatch-agent-ctl -a fetch-config -m ec2 -s -c file:CONFIGURATION
while getopts a:m:c:s name; do
    case $name$OPTARG in
    afetch-config | mec2 | s) ;;
    cfile:*) configuration=${OPTARG#file:} ;;
    *) echo "not known here: -$name $OPTARG" >&2; exit 1 ;;
    esac
done
python3 -m json.tool "$configuration" /dev/null
"""
AWS = """#!/bin/sh
AWS_ENDPOINT_URL={url} exec /opt/aws-cli/aws "$@"
"""


def build_image(folder: Path, cache: Path, cloud_url: str) -> Path:
    """Make the image of the machines of one cloud, in ``folder``. Return where it is."""
    image = folder / "image"
    image.mkdir()
    environment = f"[Manager]\nDefaultEnvironment=AWS_ENDPOINT_URL={cloud_url}\n"
    for name, text in {
        "dnf": DNF,
        "aws": AWS.format(url=cloud_url),
        "cloudwatch-agent": AGENT,
        "environment.conf": environment,
    }.items():
        (image / name).write_text(text)
        (image / name).chmod(0o755)
    (image / "aws-cli").symlink_to(command_line(cache).parent)
    return image


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Let no other process fill the cache meanwhile: several lanes of tests begin at once."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def command_line(cache: Path) -> Path:
    """Return AWS's own CLI, version 2, which is kept in ``cache``."""
    with _alone(cache):
        if not (cache / "aws-cli").exists():
            _unpack_cli(cache / "aws-cli.draft", cache)
            (cache / "aws-cli.draft").rename(cache / "aws-cli")
    return cache / "aws-cli" / "aws"


def fetch_wheels(cache: Path) -> Path:
    """Return the folder, in ``cache``, with the wheels that a machine needs."""
    wheels = cache / "wheels"
    complete = wheels / "complete"
    with _alone(cache):
        if not complete.exists() or complete.read_text() != PINS.read_text():
            shutil.rmtree(wheels, ignore_errors=True)
            wheels.mkdir()
            needs = ("--require-hashes", "--only-binary=:all:", "--python-version", "3.11", "-r", str(PINS))
            _pip("download", "--no-deps", "--dest", str(wheels), *needs)
            complete.write_text(PINS.read_text())
    return wheels


def build_release(folder: Path, cache: Path) -> tuple[Path, str]:
    """Make a release: dynwork's wheel and what it needs. Return where it is, and the hash of its ``SHA256SUMS``.

    The wheels that it needs are kept in ``cache``.
    """
    release, tree = folder / "release", folder / "tree"
    release.mkdir()
    for wheel in fetch_wheels(cache).glob("*.whl"):
        shutil.copy(wheel, release)
    shutil.copy(PINS, release / "requirements.txt")
    shutil.copytree(ROOT / "src", tree / "src", ignore=shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(release), str(tree))
    sums = [(hashlib.sha256(file.read_bytes()).hexdigest(), file.name) for file in sorted(release.iterdir())]
    (release / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for digest, name in sums))
    return release, hashlib.sha256((release / "SHA256SUMS").read_bytes()).hexdigest()


def _unpack_cli(place: Path, cache: Path) -> None:
    """A layer in a package of npm's in a wheel: so it comes."""
    shutil.rmtree(place, ignore_errors=True)
    if not list(cache.glob("aws_cdk_asset_awscli_v2-*.whl")):
        _pip("download", "--no-deps", "--dest", str(cache), CLI)
    (wheel,) = cache.glob("aws_cdk_asset_awscli_v2-*.whl")
    with zipfile.ZipFile(wheel) as outer:
        (package,) = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
        with tarfile.open(fileobj=outer.open(package), mode="r:gz") as middle:
            layer = middle.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
                files.extractall(place)
    (program,) = place.glob("awscli/v2/*/dist/aws")
    program.chmod(0o755)
    (place / "aws").symlink_to(program.relative_to(place))


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
