"""Question: what do the same shapes cost in CPython?

Not counted: starting the interpreter, building the trees. Counted: Python's own loop around each operation. Each
line is the least and the median of several rounds, in nanoseconds for an item.

Usage: python3 python.py
"""

import gc
import platform
import statistics
import sys
import time

ROUNDS = 9


def measure(name, items, once):
    """Times `once`, which handles `items` items."""
    once()
    rounds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter_ns()
        once()
        rounds.append((time.perf_counter_ns() - begun) / items)
    print(f"{name:32} {min(rounds):10.1f} {statistics.median(rounds):10.1f}", flush=True)


# A round trip, by call depth. A Python generator yields from one frame only: to yield from a function that it calls,
# that function is a generator too, and each level delegates to the next.


def echo():
    value = 0
    while True:
        value = yield value


def suspend_at(depth, value):
    if depth == 1:
        return (yield value) + 1
    return (yield from suspend_at(depth - 1, value)) + 1


def echo_at(depth):
    value = 0
    while True:
        value = yield from suspend_at(depth, value)


def send(depth, items):
    generator = echo_at(depth) if depth else echo()
    next(generator)

    def once():
        send = generator.send
        for _ in range(items):
            send(1)

    return once


def counting():
    value = 0
    while True:
        yield value
        value += 1


def take_next(items):
    generator = counting()

    def once():
        for _ in range(items):
            next(generator)

    return once


# Made, and run to its end or closed.


def one_number(number):
    return number
    yield


def run(items):
    def once():
        for _ in range(items):
            for _ in one_number(1):
                pass

    return once


def unstarted(items):
    def once():
        for _ in range(items):
            one_number(1)

    return once


def waits(number):
    yield number


def closed(items):
    def once():
        for _ in range(items):
            generator = waits(1)
            next(generator)
            generator.close()

    return once


# The walk of a tree, a node being (left, value, right).


def balanced(low, high):
    if low == high:
        return None
    middle = low + (high - low) // 2
    return (balanced(low, middle), middle, balanced(middle + 1, high))


def degenerate(nodes):
    node = None
    for value in range(nodes):
        node = (node, value, None)
    return node


def walk(node):
    left, value, right = node
    if left:
        yield from walk(left)
    yield value
    if right:
        yield from walk(right)


def walked(root, nodes):
    def once():
        assert sum(walk(root)) == nodes * (nodes - 1) // 2

    return once


# Five stages in a row.


def source(items):
    yield from range(items)


def scaled(numbers):
    for number in numbers:
        yield number * 3 + 1


def even(numbers):
    for number in numbers:
        if number % 2 == 0:
            yield number


def folded(numbers):
    for number in numbers:
        yield number ^ (number >> 7)


def no_fifths(numbers):
    for number in numbers:
        if number % 5 != 0:
            yield number


def pipeline(items):
    def once():
        return sum(no_fifths(folded(even(scaled(source(items))))))

    return once


def main():
    print(f"{platform.python_implementation()} {platform.python_version()}")
    print(f"{'ns an item':32} {'min':>10} {'median':>10}")
    for depth in (0, 1, 4, 11):
        measure(f"send, depth {depth}", 200_000, send(depth, 200_000))
    measure("next", 1_000_000, take_next(1_000_000))
    measure("create, run", 200_000, run(200_000))
    measure("create, drop unstarted", 200_000, unstarted(200_000))
    measure("create, start, close", 200_000, closed(200_000))
    for levels in (10, 16):
        nodes = (1 << levels) - 1
        measure(f"tree, balanced {levels}", nodes, walked(balanced(0, nodes), nodes))
    sys.setrecursionlimit(100_000)
    for nodes in (1000, 10_000):
        measure(f"tree, degenerate {nodes}", nodes, walked(degenerate(nodes), nodes))
    measure("pipeline, 5 stages", 1_000_000, pipeline(1_000_000))


if __name__ == "__main__":
    gc.disable()
    main()
