#!/usr/bin/env bash
# Run every test: test.sh [pytest's arguments]. First those that need no process of their own, on several cores at a time;
# then those that start real processes, three at a time, since they wait for most of theirs, first the files that make
# something for all of their tests (xdist_group); then, one after the other, those that load the whole machine. Those marked
# long are for make rollout. JUNIT=DIR keeps a report of each part.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
NO_TESTS=5 # pytest's exit code when its arguments select none: fine for one part, not for all

part() { # name, then pytest's arguments
    local name=$1
    shift
    .venv/bin/pytest ${JUNIT:+--junitxml="$JUNIT/$name.xml"} "$@"
}

ran=0
for name in quick real alone; do
    case $name in
    quick) arguments=(-m "not system" --numprocesses auto --maxprocesses 8) ;;
    real) arguments=(-m "system and not alone and not long" --numprocesses 3 --dist loadgroup) ;;
    alone) arguments=(-m "system and alone") ;;
    esac
    part $name "${arguments[@]}" "$@"
    code=$?
    [ $code = $NO_TESTS ] && continue
    [ $code = 0 ] || exit $code
    ran=1
done
[ $ran = 1 ] || exit $NO_TESTS
