#!/usr/bin/env bash
# Run every test: test.sh [pytest's arguments]. First those that need no process of their own, on several cores at a time;
# then, one after the other, those that start real processes and load the whole machine. JUNIT=DIR keeps a report of both.
set -uo pipefail
cd "$(dirname "$0")/.."
NO_TESTS=5 # pytest's exit code when its arguments select none: fine for one half, not for both

half() { # name, then pytest's arguments
    local name=$1
    shift
    .venv/bin/pytest ${JUNIT:+--junitxml="$JUNIT/$name.xml"} "$@"
}

half quick -m "not system" --numprocesses auto --maxprocesses 8 "$@"
quick=$?
[ $quick = 0 ] || [ $quick = $NO_TESTS ] || exit $quick
half system -m system "$@"
system=$?
[ $system = $NO_TESTS ] && exit $quick
exit $system
