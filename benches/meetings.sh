#!/bin/sh
# Question: what do locks, channels and select cost? All tables of it, printed and put into README.md.
#
# Needs a machine with nothing else to do, for about five minutes, python3, and valgrind for the instructions; go if it
# is to take part. All contests are pinned to one core but `cross`, which chooses its cores itself.
#
# Usage: meetings.sh [core [rounds]]
set -eu
cd "$(dirname "$0")"

core=${1:-1}
rounds=${2:-5}

cargo bench --quiet --no-run

{
    for bench in locks channels oneshot throughput select; do
        taskset -c "$core" cargo bench --quiet --bench "$bench" -- --rounds "$rounds"
    done
    cargo bench --quiet --bench cross -- --rounds "$rounds"
    printf '\n| operation of tasks | instructions |\n|---|---|\n'
    ./count.sh lock-unlock lock-turn channel-round-trip channel-item select-2 select-2-waits select-8 |
        awk '{ printf "| %s | %s |\n", $1, $2 }'
} | python3 fill.py
