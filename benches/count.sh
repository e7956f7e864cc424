#!/bin/sh
# Question: how many instructions does one operation take, whatever else the machine is doing?
#
# Not counted: mispredictions and cache misses, which decide the time of a switch at call depth 1 and more. Needs
# valgrind. Prints, for each operation, the difference between two runs divided by the difference of their `n`.
#
# Usage: count.sh [operation...]
set -eu
cd "$(dirname "$0")"

few=10000
many=110000

cargo build --quiet --release --bin count
target=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')

instructions() { # operation n
    valgrind --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null "$target/release/count" "$1" "$2" 2>&1 |
        sed -n 's/.*I *refs: *//p' | tr -d ,
}

[ $# -gt 0 ] || set -- nothing \
    corosensei-send-0 ropewalk-send-0 corosensei-send-1 ropewalk-send-1 \
    corosensei-next-0 ropewalk-next-0 corosensei-next-1 ropewalk-next-1 \
    boxed-create corosensei-create ropewalk-create ropewalk-unstarted \
    task-yield task-spawn-join task-spawn-only task-wait-wake task-timeout task-cancel-scope task-scope-empty \
    lock-unlock lock-turn channel-round-trip channel-item select-2 select-2-waits select-8

for operation; do
    difference=$(($(instructions "$operation" $many) - $(instructions "$operation" $few)))
    printf '%-20s %6s instructions\n' "$operation" "$(awk "BEGIN { printf \"%.1f\", $difference / ($many - $few) }")"
done
