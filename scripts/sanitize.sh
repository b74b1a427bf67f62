#!/usr/bin/env bash
# Builds the kernel with gcc's address and undefined-behaviour sanitizers, apart from the installed one, and runs its tests
# against that build: sanitize.sh [arguments of pytest]. The first thing that is wrong ends the run and is printed.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-.venv/bin/python}
cc=${CC:-gcc}
place=build/sanitized

rm -rf "$place"
CC=$cc "$python" setup.py --quiet build_ext --sanitize --build-lib "$place" --build-temp "$place/objects" build_py --build-lib "$place"

# The sanitizer must be there before Python is, whose own binary was not built with it; libstdc++ as well, or the exceptions of
# C++ extensions are not followed. Without pymalloc every buffer is an allocation of its own, with guarded ends. Leaks are
# not looked for: Python leaves much to the end of the process, and a report could not tell that from a leak of ours.
export LD_PRELOAD ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc PYTHONPATH=$PWD/$place
LD_PRELOAD="$("$cc" -print-file-name=libasan.so) $("$cc" -print-file-name=libstdc++.so.6)"
"$python" -c 'import sys; from dynwork.kinds import _sha512chain as it; sys.exit(sys.argv[1] not in it.__file__ and it.__file__)' "$place"
# What a sanitizer writes goes past Python: it must not be captured with the output of a test that never ends.
exec "$python" -m pytest --capture=sys "${@:-tests/kinds}"
