#!/usr/bin/env bash
# Makes .venv with the hash-pinned dependencies and the project itself (editable): bootstrap.sh runtime|dev
# PYTHON=… chooses the interpreter. Called by make, which remembers by a stamp that it was done.
set -euo pipefail
cd "$(dirname "$0")/.."
set_of_pins=${1:-runtime}
venv=.venv

say() { printf 'dynwork: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }
fits() { "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.14; do
        if command -v "$candidate" >/dev/null && fits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or later is needed and was not found (python3 is $(python3 --version 2>&1 || true));" \
        "install it, or say where it is: make PYTHON=/path/to/python3.12"
}

make_venv() {
    local python
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        fail "$python has no venv module: install it first (Debian, Ubuntu: apt install python3-venv;" \
            "Fedora: it is part of python3-pip)"
    fi
    say "making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
}

if ! { [ -x "$venv/bin/python" ] && fits "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1; }; then
    make_venv
fi

pins=requirements/$set_of_pins.txt
say "installing $(grep -c '==' "$pins") pinned packages of $pins"
# The dev pins contain uv, which installs in seconds what takes pip a minute; it, too, comes by its pinned hash.
if [ "$set_of_pins" = dev ]; then
    awk '/^uv==/ {on = 1} on {print} on && !/\\$/ {exit}' "$pins" >"$venv/uv.txt"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$venv/uv.txt"
    VIRTUAL_ENV=$venv "$venv/bin/uv" pip install --quiet --require-hashes -r "$pins" ||
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$pins"
else
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$pins"
fi

# This also compiles the kernel, where there is a compiler: setup.py. Where there is none, that is no failure.
if ! "$venv/bin/python" -m pip install --verbose --disable-pip-version-check --no-deps --no-build-isolation --editable . \
    >"$venv/build.log" 2>&1; then
    cat "$venv/build.log" >&2
    fail "dynwork itself could not be installed: see above"
fi
serving=$("$venv/bin/python" -c 'from dynwork.kinds.sha512_chain import KIND; print(KIND.path.name)')
if [ "$serving" = python ]; then
    say "hashing in Python, which takes many times as long: the C kernel is not there ($venv/build.log says why)." \
        "Install a C compiler and Python's headers (Debian, Ubuntu: apt install gcc libc6-dev python3-dev;" \
        "Fedora: dnf install gcc python3-devel), then run scripts/bootstrap.sh $set_of_pins"
else
    say "hashing with the C kernel ($serving)"
fi

touch "$venv/.ready-runtime"
[ "$set_of_pins" = runtime ] || touch "$venv/.ready-dev"
say "ready"
