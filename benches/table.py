"""Runs the benches some times and prints a Markdown table of the least and the median of each.

Not counted: runs that another program disturbed. The minimum is that of all samples of all runs, the median that of
the runs' medians; run it on a core that nobody else uses, and trust the ratios.

Usage: taskset -c 1 python3 table.py [runs [bench...]]
"""

import re
import statistics
import subprocess
import sys

UNITS = {"ns": 1.0, "µs": 1e3, "ms": 1e6, "s": 1e9}
LINE = re.compile(r"^(?P<indent>[│ ]*)[├╰]─ (?P<name>\S+)(?P<figures>.*)$")
TIME = re.compile(r"([\d.]+) (ns|µs|ms|s)\b")


def run(bench):
    """The (fastest, median) of each line that has figures, in nanoseconds, by its path."""
    command = ["cargo", "bench", "--quiet", "--bench", bench]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    path, figures = [], {}
    for line in output.splitlines():
        found = LINE.match(line)
        if not found:
            continue
        path[len(found["indent"]) // 3 :] = [found["name"]]
        times = [float(number) * UNITS[unit] for number, unit in TIME.findall(found["figures"])]
        if times:
            fastest, _slowest, median, _mean = times
            figures["/".join(path)] = (fastest, median)
    return figures


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    for bench in sys.argv[2:] or ["switch", "create", "tree", "pipeline"]:
        all_runs = [run(bench) for _ in range(runs)]
        print(f"\n| {bench} | ns min | ns median |\n|---|---|---|")
        for name in all_runs[0]:
            least = min(figures[name][0] for figures in all_runs)
            median = statistics.median(figures[name][1] for figures in all_runs)
            print(f"| {name} | {least:.4g} | {median:.4g} |", flush=True)


if __name__ == "__main__":
    main()
