"""Question: what do tasks cost in asyncio: to yield, to spawn and join, to exist in their million, to have timers?

The same questions as in benches/yields.rs, spawn.rs, create_million.rs and timers.rs, and what is not counted there is
not counted here. Each case is a process of its own. Each line is the least and the median of what that process
repeats; what it does once only, a million of something, has the same number twice.

Usage: python3 asyncio_tasks.py [--test] [case...]
"""

import asyncio
import gc
import platform
import random
import resource
import statistics
import subprocess
import sys
import time

TEST = "--test" in sys.argv
SAMPLES = 1 if TEST else 5
HOUR = 3600.0


def scale(full):
    """So many tasks or repetitions; in a test as few as still mean something."""
    return min(full, 64) if TEST else full


def say(name, *values):
    print(f"{name:48} {min(values):10.1f} {statistics.median(values):10.1f}", flush=True)


def since(begun, count):
    return (time.perf_counter_ns() - begun) / count


def resident_bytes():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


async def yields(tasks):
    tasks = scale(tasks)
    rounds = max(1, scale(200_000) // tasks)
    places = [asyncio.get_running_loop().create_future() for _ in range(tasks)]
    samples = []

    async def yielding(number):
        await places[number]
        looked = None
        for yielded in range(1, (SAMPLES + 1) * rounds + 1):
            await asyncio.sleep(0)
            if number == 0 and yielded % rounds == 0:
                if looked:
                    samples.append(since(looked, rounds * tasks))
                looked = time.perf_counter_ns()

    all_tasks = [asyncio.create_task(yielding(number)) for number in range(tasks)]
    # All of them begin, and wait.
    await asyncio.sleep(0)
    in_order = list(places)
    random.Random(1).shuffle(in_order)
    for place in in_order:
        place.set_result(None)
    for task in all_tasks:
        await task
    say(f"yields, {tasks} tasks", *samples)


class Counter:
    done = 0


async def one_up():
    Counter.done += 1


async def one_at_a_time():
    count = scale(20_000)
    samples = []
    for _ in range(SAMPLES):
        begun = time.perf_counter_ns()
        for _ in range(count):
            await asyncio.create_task(one_up())
        samples.append(since(begun, count))
    say("spawn + run + join, one at a time", *samples)


async def million():
    count = scale(1_000_000)
    all_tasks = [None] * count
    before = resident_bytes()
    begun = time.perf_counter_ns()
    for number in range(count):
        all_tasks[number] = asyncio.create_task(one_up())
    created = since(begun, count)
    each = (resident_bytes() - before) / count
    run = time.perf_counter_ns()
    for task in all_tasks:
        await task
    assert Counter.done == count
    say("a million not run: ns to create", created)
    say("a million not run: bytes each", each)
    say("a million not run: ns to run and join", since(run, count))
    say("a million at once: ns in all", since(begun, count))


def moments(count):
    """Between one hour and two from now, no two alike, in a random order."""
    places = list(range(count))
    random.Random(1).shuffle(places)
    return [HOUR + HOUR * place / count for place in places]


async def sleepers():
    count = scale(1_000_000)
    delays = moments(count)
    begun = time.perf_counter_ns()
    all_tasks = [asyncio.create_task(asyncio.sleep(delay)) for delay in delays]
    await asyncio.sleep(0)
    say("a million sleepers: ns to set", since(begun, count))
    begun = time.perf_counter_ns()
    for task in all_tasks:
        task.cancel()
    for task in all_tasks:
        try:
            await task
        except asyncio.CancelledError:
            pass
    say("a million sleepers: ns to cancel", since(begun, count))


def nothing():
    pass


async def bare_timers():
    count = scale(1_000_000)
    loop = asyncio.get_running_loop()
    delays = moments(count)
    begun = time.perf_counter_ns()
    timers = [loop.call_later(delay, nothing) for delay in delays]
    say("a million of call_later: ns to set", since(begun, count))
    begun = time.perf_counter_ns()
    for timer in timers:
        timer.cancel()
    # The loop sweeps cancelled timers out of its heap when it next runs.
    await asyncio.sleep(0)
    say("a million of call_later: ns to cancel", since(begun, count))


async def timeouts(others):
    others, count = scale(others), scale(20_000)
    loop = asyncio.get_running_loop()
    timers = [loop.call_later(delay, nothing) for delay in moments(others)]
    alone, within = [], []
    for _ in range(SAMPLES):
        begun = time.perf_counter_ns()
        for _ in range(count):
            await asyncio.sleep(0)
        alone.append(since(begun, count))
        begun = time.perf_counter_ns()
        for _ in range(count):
            async with asyncio.timeout(60):
                await asyncio.sleep(0)
        within.append(since(begun, count))
    differences = [both - one for both, one in zip(within, alone)]
    say(f"timeout alone, {others} others alive", *differences)
    say(f"the operation in it, {others} others alive", *alone)
    del timers


CASES = {
    "yields-2": lambda: yields(2),
    "yields-1000": lambda: yields(1000),
    "yields-100000": lambda: yields(100_000),
    "one-at-a-time": one_at_a_time,
    "million": million,
    "sleepers": sleepers,
    "bare-timers": bare_timers,
    "timeouts-0": lambda: timeouts(0),
    "timeouts-1000": lambda: timeouts(1000),
    "timeouts-1000000": lambda: timeouts(1_000_000),
}


def main():
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    if "--play" in sys.argv:
        gc.disable()
        asyncio.run(CASES[words[0]]())
        return
    print(f"asyncio, {platform.python_implementation()} {platform.python_version()}")
    print(f"{'ns each, but for bytes':48} {'min':>10} {'median':>10}", flush=True)
    for case in words or CASES:
        options = ["--test"] if TEST else []
        subprocess.run([sys.executable, __file__, "--play", case, *options], check=True)


if __name__ == "__main__":
    main()
