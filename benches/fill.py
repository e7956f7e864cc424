"""Passes on what contests print, and puts their tables into README.md: each in the place of the table of the same name.

The name of a table is the first cell of its first line: the case. A table that is not there yet is told of, and put nowhere.

Usage: cargo bench --bench locks | python3 fill.py
"""

import sys
from pathlib import Path

README = Path(__file__).with_name("README.md")


def tables(lines):
    """The tables among the lines: where each begins and ends."""
    begin = None
    for at, line in enumerate([*lines, ""]):
        if line.startswith("|"):
            begin = at if begin is None else begin
        elif begin is not None:
            yield begin, at
            begin = None


def name(line):
    return line.split("|")[1].strip()


def main():
    printed = []
    for line in sys.stdin:
        print(line, end="", flush=True)
        printed.append(line.rstrip("\n"))
    text = README.read_text(encoding="utf-8").split("\n")
    new = {name(printed[begin]): printed[begin:end] for begin, end in tables(printed)}
    # From the last one on, so that what is still to be replaced stays where it is.
    for begin, end in reversed(list(tables(text))):
        text[begin:end] = new.pop(name(text[begin]), text[begin:end])
    README.write_text("\n".join(text), encoding="utf-8")
    for missing in new:
        print(f"README.md has no table called {missing!r}", file=sys.stderr)


if __name__ == "__main__":
    main()
