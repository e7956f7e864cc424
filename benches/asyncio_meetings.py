"""Question: what do locks, queues and waiting for several of them cost in asyncio?

A contender in the contests of locks and channels, which start it for each play; what is not counted there
is not counted here. Prints lines of a column and a value, as they expect them.

Usage: python3 asyncio_meetings.py case [--test]
"""

import asyncio
import gc
import random
import sys
import time

TEST = "--test" in sys.argv
SAMPLES = 1 if TEST else 5


def scale(full):
    """So many repetitions; in a test as few as still mean something."""
    return min(full, 64) if TEST else full


def say(column, value):
    print(f"{column}\t{value}")


def since(began, count):
    return (time.perf_counter_ns() - began) / count


async def samples(column, count, operation, parts=1):
    """What one of so many repetitions takes; one sample is to warm up."""
    for sample in range(SAMPLES + 1):
        began = time.perf_counter_ns()
        for _ in range(count):
            await operation()
        if sample:
            say(column, since(began, count * parts))


async def lock_alone():
    lock = asyncio.Lock()
    total = 0
    count = scale(50_000)
    for sample in range(SAMPLES + 1):
        began = time.perf_counter_ns()
        for _ in range(count):
            async with lock:
                total += 1
        if sample:
            say("ns for lock + unlock", since(began, count))


async def lock_held(tasks):
    lock = asyncio.Lock()
    sample = scale(5_000)
    turns, handed_over, last, looked = 0, 0, None, None

    async def hold(number):
        nonlocal turns, handed_over, last, looked
        while True:
            async with lock:
                if turns == sample * (SAMPLES + 1):
                    return
                turns += 1
                handed_over += last != number
                last = number
                if turns % sample == 0:
                    if looked:
                        say("ns for a turn", since(looked, sample))
                        say("% handed over", 100 * handed_over / sample)
                    looked, handed_over = time.perf_counter_ns(), 0
                await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for number in range(tasks):
            group.create_task(hold(number))


async def round_trip():
    ask, answer = asyncio.Queue(1), asyncio.Queue(1)

    async def partner():
        while True:
            await answer.put(await ask.get() + 1)

    async def once():
        await ask.put(1)
        assert await answer.get() == 2

    task = asyncio.create_task(partner())
    await samples("ns for a round trip", scale(5_000), once)
    task.cancel()


async def oneshot():
    loop = asyncio.get_running_loop()

    async def once():
        future = loop.create_future()
        future.set_result(1)
        assert await future == 1

    await samples("ns for a oneshot", scale(50_000), once)


async def oneshot_answered():
    loop = asyncio.get_running_loop()
    requests = asyncio.Queue(1)

    async def partner():
        while True:
            (await requests.get()).set_result(1)

    async def once():
        future = loop.create_future()
        await requests.put(future)
        assert await future == 1

    task = asyncio.create_task(partner())
    await samples("ns for a oneshot", scale(5_000), once)
    task.cancel()


async def throughput(senders, receivers, room):
    share = -(-scale(10_000) // senders)
    received = 0

    async def send(queue):
        for item in range(share):
            await queue.put(item)

    async def receive(queue):
        nonlocal received
        while await queue.get() is not None:
            received += 1

    async def once():
        queue = asyncio.Queue(room)
        receiving = [asyncio.create_task(receive(queue)) for _ in range(receivers)]
        async with asyncio.TaskGroup() as group:
            for _ in range(senders):
                group.create_task(send(queue))
        # A queue of this version cannot be shut down.
        for _ in receiving:
            await queue.put(None)
        for task in receiving:
            await task

    await samples("ns for an item", 1, once, share * senders)
    assert received == share * senders * (SAMPLES + 1)


class Selector:
    """A task for each queue; whichever is done is begun anew."""

    def __init__(self, count):
        self.queues = [asyncio.Queue(1) for _ in range(count)]
        self.waiting = {asyncio.create_task(queue.get()): queue for queue in self.queues}
        self.order = [random.Random(1).randrange(count) for _ in range(1024)]
        self.sent = 0

    async def send(self, item):
        self.sent += 1
        await self.queues[self.order[self.sent % len(self.order)]].put(item)

    async def select(self):
        done, _ = await asyncio.wait(self.waiting, return_when=asyncio.FIRST_COMPLETED)
        [task] = done
        queue = self.waiting.pop(task)
        self.waiting[asyncio.create_task(queue.get())] = queue
        return task.result()

    def close(self):
        for task in self.waiting:
            task.cancel()


async def select_ready(count):
    selector = Selector(count)

    async def once():
        await selector.send(1)
        assert await selector.select() == 1

    await samples("ns for send + select", scale(500), once)
    selector.close()


async def select_waits(count):
    mine, others = Selector(count), Selector(count)

    async def pass_on():
        while True:
            await mine.send(await others.select())

    async def once():
        await others.send(1)
        assert await mine.select() == 1

    task = asyncio.create_task(pass_on())
    await samples("ns for send + select that waits", scale(500), once, 2)
    task.cancel()
    mine.close()
    others.close()


def nothing():
    pass


async def to_thread():
    await samples("ns for a round trip", scale(5_000), lambda: asyncio.to_thread(nothing))


async def to_thread_at_once():
    count = scale(4_000)

    async def some():
        for _ in range(count // 40):
            await asyncio.to_thread(nothing)

    await samples("ns for a call", 1, lambda: asyncio.gather(*(some() for _ in range(40))), count // 40 * 40)


CASES = {
    "lock-alone": lock_alone,
    "lock": lock_held,
    "round-trip": round_trip,
    "oneshot": oneshot,
    "oneshot-answered": oneshot_answered,
    "throughput": throughput,
    "select-ready": select_ready,
    "select-waits": select_waits,
    "to-thread": to_thread,
    "to-thread-at-once": to_thread_at_once,
}


def main():
    # A case, and perhaps numbers: lock-100, throughput-1-4-128.
    words = sys.argv[1].split("-")
    numbers = [int(word) for word in words if word.isdigit()]
    case = CASES["-".join(word for word in words if not word.isdigit())]
    gc.disable()
    asyncio.run(case(*numbers))


if __name__ == "__main__":
    main()
