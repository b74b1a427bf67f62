#!/usr/bin/env bash
# Resolve requirements/*.in to hash-pinned files, runtime and dev in ONE resolution (dev constrains runtime),
# so that installing one after the other never changes a version. No index address is written.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}
compile=("$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url
         --custom-compile-command "make lock")
"${compile[@]}" "$@" -o requirements/dev.txt requirements/dev.in
"${compile[@]}" -c requirements/dev.txt -o requirements/runtime.txt requirements/runtime.in
