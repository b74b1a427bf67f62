#!/usr/bin/env bash
# Makes a release, what a machine on EC2 installs, each file by its hash: release.sh FOLDER (made; must not exist)
# release.sh --name prints what a release of this checkout is called: the hash of all that goes into it.
# release.sh --check says whether this machine can make one.
# Needs Linux on x86-64, Python 3.11 or later with its headers, and a C compiler: AWS CloudShell can have them, see fail().
set -euo pipefail
cd "$(dirname "$0")/.."
export SOURCE_DATE_EPOCH=315532800 # the same sources make the same wheel
GLIBC_MAX=34 # Amazon Linux 2023 has 2.34
PLATFORMS=(manylinux_2_34_x86_64 manylinux_2_28_x86_64 manylinux_2_17_x86_64 manylinux2014_x86_64 manylinux_2_5_x86_64
    manylinux1_x86_64 any)
MADE_FROM=(src pyproject.toml setup.py README.md LICENSE requirements/runtime.txt deploy/aws/boot.sh scripts/release.sh)

fail() {
    printf 'release.sh: %s\n' "$*" >&2
    exit 1
}

sources() { # every file that a release is made from, sorted
    find "${MADE_FROM[@]}" -type f ! -name '*.so' ! -path '*/__pycache__/*' ! -path '*.egg-info/*' | LC_ALL=C sort
}

name() {
    sources | xargs sha256sum | sha256sum | cut -c1-16
}

find_python() {
    local python
    for python in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11; do
        "$python" -c 'import ensurepip, venv, sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null || continue
        echo "$python"
        return
    done
    fail "Python 3.11 or later with venv and headers is needed: in AWS CloudShell, sudo dnf install -y python3.11-devel gcc"
}

fetch_wheels() { # PYTHON FOLDER: what dynwork needs, by the pinned hashes
    local platforms=() platform
    for platform in "${PLATFORMS[@]}"; do platforms+=(--platform "$platform"); done
    "$1" -m pip download --quiet --disable-pip-version-check --dest "$2" --no-deps --require-hashes \
        --only-binary=:all: --implementation cp --python-version 3.11 --abi cp311 --abi abi3 --abi none \
        "${platforms[@]}" -r requirements/runtime.txt
}

build_wheel() { # PYTHON FOLDER: dynwork itself, from a copy of its sources alone, with the pinned setuptools
    sources | xargs cp --parents -t "$scratch/tree"
    "$1" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$2" --upgrade setuptools
    "$1" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$2" "$scratch/tree"
}

check_kernel() { # FOLDER
    local too_new
    (cd "$scratch" && "$python" -m zipfile -e "$1"/dynwork-*.whl kernel)
    set -- "$scratch"/kernel/dynwork/kinds/_sha512chain*.so
    [ -e "$1" ] || fail "the kernel was not built, and without it a worker does a tenth: a C compiler and Python's" \
        "headers are needed; in AWS CloudShell, sudo dnf install -y python3.11-devel gcc"
    too_new=$(grep -ao 'GLIBC_2\.[0-9]*' "$1" | cut -d. -f2 | sort -n | tail -1)
    [ "$too_new" -le $GLIBC_MAX ] ||
        fail "the kernel built here needs glibc 2.$too_new, and Amazon Linux 2023 has 2.$GLIBC_MAX: build it in AWS CloudShell"
}

check_machine() { # PYTHON
    local headers
    [ "$(uname -s) $(uname -m)" = "Linux x86_64" ] ||
        fail "a release is built on Linux on x86-64, and this is $(uname -s) on $(uname -m): run it in AWS CloudShell"
    headers=$("$1" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    { [ -e "$headers/Python.h" ] && command -v "${CC:-gcc}" >/dev/null; } ||
        fail "a C compiler and the headers of $1 are needed: in AWS CloudShell, sudo dnf install -y python3.11-devel gcc"
}

[ $# = 1 ] || fail "usage: release.sh FOLDER, release.sh --name, or release.sh --check"
if [ "$1" = --name ]; then
    name
    exit
fi
base_python=$(find_python)
check_machine "$base_python"
[ "$1" != --check ] || exit 0
mkdir "$1" || fail "$1 must not exist yet"
release=$(cd "$1" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/tree"
"$base_python" -m venv "$scratch/venv"
python=$scratch/venv/bin/python
fetch_wheels "$python" "$release"
build_wheel "$python" "$release"
check_kernel "$release"
cp requirements/runtime.txt "$release/requirements.txt"
cp deploy/aws/boot.sh "$release"
(cd "$release" && sha256sum -- * >"$scratch/SHA256SUMS" && mv "$scratch/SHA256SUMS" .)
