"""Question: what does an echo server cost with each library? Prints the tables of README.md.

- echo: messages of 64 bytes and 16 KiB on 64 and 1,000 connections, as fast as they are answered.
- accept: connections that have one message echoed and close.
- latency: how long an answer takes when so many messages a second are due, whatever the server does.
- idle: what a connection that does nothing holds of the machine's memory.

One client for all (src/bin/echo_client), servers in Rust (src/bin/echo_server) and in Python (echo_peers.py; their libraries are
installed with pip into the target folder, and where that fails they are left out). Each play is a server and a client that
are started for it. Contenders take turns, round by round, each round from another one on. Ratios are those of the medians,
to the bare epoll loop.

Pinned with taskset: server and client share one core, the last that this process may use, so that the client, which is
the same for all, is part of the requests per second; the CPU time is the server's alone. For latency the client
has a core for itself, where there are two, and spins there: one that sleeps would be woken late, and say that the answer was.

With `--cores N` the whole is there N times: the server has N threads and N cores, and as many clients share them, each with its part of the
connections. So the requests per second beside those of `--cores 1` say what the further cores bring, to the server and to what the
system does for it. Only for echo and accept, and for those that have more threads than one.

Not counted: the kernel's memory for sockets, which is the same for all; and what the system does for the network outside of
the server's threads.

Usage: python3 echo.py [--test] [--rounds N] [--seconds S] [--buffer BYTES] [--rate PER_SECOND] [--idle CONNECTIONS]
                       [--cores N] [--server-core N] [--client-core N] [--only WORD]... [echo|accept|latency|idle]...

`--test` asks the servers in Rust everything once, very shortly, and fails if one of them does.
"""

import argparse
import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent

# After so many seconds more than it should take a play counts as hung.
PATIENCE = 60
PATIENCE_WHEN_TESTING = 20

# What a server in Python, or a driver with a thread pool, may have open besides its connections.
OTHER_DESCRIPTORS = 200

# For connections that do nothing: what is measured is what the library holds, not the buffer.
IDLE_BUFFER_BYTES = 64

REFERENCE = "epoll, bare loop"


@dataclass
class Contender:
    name: str
    arguments: list
    # A server in Python.
    module: str = ""
    driver: str = ""
    # Whether it has to have an io_uring; None if nobody minds.
    ring: bool | None = None
    # What it is called with several threads; empty if it has only one.
    of_many: str = ""


CONTENDERS = [
    Contender(REFERENCE, ["bare"], of_many=REFERENCE),
    Contender("epoll, bare loop, one buffer for all", ["bare-one-buffer"]),
    Contender("ropewalk, epoll", ["ropewalk"], driver="epoll", ring=False, of_many="ropewalk shards, epoll"),
    Contender("ropewalk, io_uring", ["ropewalk"], driver="uring", ring=True, of_many="ropewalk shards, io_uring"),
    Contender("tokio, LocalRuntime", ["tokio"], of_many="tokio, multi-thread"),
    Contender("smol, LocalExecutor", ["smol"]),
    Contender("monoio (io_uring)", ["monoio"], ring=True),
    Contender("may, one worker", ["may"], of_many="may"),
    Contender("asyncio streams, uvloop", ["uvloop"], module="uvloop"),
    Contender("gevent StreamServer", ["gevent"], module="gevent"),
]


@dataclass
class Case:
    """A question to all contenders: what the client is to do."""

    name: str
    client: list
    # Whether the client has a core for itself.
    apart: bool = False
    # Of the server, if it is not what all have.
    buffer: int | None = None


@dataclass
class Outcome:
    """What all plays of one contender in one case gave."""

    figures: dict = field(default_factory=dict)
    # Why it is not asked again.
    failure: str = ""

    def add(self, figures):
        for name, value in figures.items():
            self.figures.setdefault(name, []).append(value)


class Failed(Exception):
    """A play that came to nothing."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def build():
    """Where the programs are."""
    cargo = ["cargo", "--quiet"]
    manifest = ["--manifest-path", str(HERE / "Cargo.toml")]
    programs = ["--bin", "echo_server", "--bin", "echo_client"]
    subprocess.run([*cargo, "build", "--release", "--locked", *manifest, *programs], check=True)
    metadata = subprocess.run(
        [*cargo, "metadata", "--locked", "--no-deps", "--format-version", "1", *manifest],
        check=True,
        capture_output=True,
        text=True,
    )
    return Path(json.loads(metadata.stdout)["target_directory"])


def python_of_peers(target):
    """A Python that has the peers' libraries, and which of them it has."""
    folder = target / "echo-peers"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=False)
    present = set()
    for module in sorted({contender.module for contender in CONTENDERS} - {""}):
        ask = [str(python), "-c", f"import {module}; print('{module}', {module}.__version__)"]
        try:
            if subprocess.run(ask, capture_output=True, check=False).returncode != 0:
                install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", module]
                subprocess.run(install, check=False)
            found = subprocess.run(ask, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            say(f"left out: {module}, which could not be installed ({error})")
        else:
            say(found.stdout.strip())
            present.add(module)
    return python, present


def status_bytes(pid, name):
    """Of /proc/PID/status, a line that is in kibibytes."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise Failed(f"the kernel tells no {name}")


def kernel_has_io_uring():
    """Whether it gives this process a ring: containers often forbid that."""
    # The same number on all machines that ropewalk runs on.
    io_uring_setup = 425
    parameters = ctypes.create_string_buffer(120)
    descriptor = ctypes.CDLL(None).syscall(io_uring_setup, 1, parameters)
    if descriptor < 0:
        return False
    os.close(descriptor)
    return True


def has_ring(pid):
    """Whether that process has one."""
    links = []
    try:
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            try:
                links.append(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
            except FileNotFoundError:
                # Closed meanwhile.
                pass
    except OSError:
        raise Failed("it died") from None
    return any("[io_uring]" in link for link in links)


def figures_of(text):
    """What the client printed."""
    pairs = (line.split("\t") for line in text.splitlines())
    return {name: float(value) for name, value in pairs}


class Bench:
    def __init__(self, options):
        self.options = options
        self.target = build()
        if options.test:
            self.python, self.modules = None, set()
        else:
            self.python, self.modules = python_of_peers(self.target)
        self.has_io_uring = kernel_has_io_uring()
        if not self.has_io_uring:
            say("left out: all that need io_uring, which the kernel does not give this process")

    def contenders(self):
        """Who takes part."""
        words = self.options.only
        for contender in CONTENDERS:
            if self.options.cores > 1:
                if not contender.of_many:
                    continue
                contender = replace(contender, name=contender.of_many)
            if contender.module and contender.module not in self.modules:
                continue
            if contender.ring and not self.has_io_uring:
                continue
            if not words or any(word in contender.name for word in words):
                yield contender

    def hold(self, cases):
        """All rounds of these cases: outcomes by case and contender."""
        plays = [(case, contender) for case in cases for contender in self.contenders()]
        outcomes = {(case.name, contender.name): Outcome() for case, contender in plays}
        for turn in range(self.options.rounds):
            say(f"round {turn + 1} of {self.options.rounds}: {len(plays)} plays")
            for case in cases:
                contenders = list(self.contenders())
                # Nobody always comes after the same neighbour's heat.
                shift = turn % len(contenders) if contenders else 0
                for contender in contenders[shift:] + contenders[:shift]:
                    outcome = outcomes[case.name, contender.name]
                    if outcome.failure:
                        continue
                    try:
                        outcome.add(self.play(case, contender))
                    except Failed as reason:
                        outcome.failure = str(reason)
                        say(f"{case.name}: {contender.name}: {reason}")
        return outcomes

    def play(self, case, contender):
        """One server and one client."""
        if contender.module:
            program = [str(self.python), str(HERE / "echo_peers.py"), *contender.arguments]
        else:
            program = [str(self.target / "release" / "echo_server"), *contender.arguments]
        buffer = case.buffer or self.options.buffer
        if buffer:
            program.append(str(buffer))
        if self.options.cores > 1:
            program += ["--threads", str(self.options.cores)]
        environment = dict(os.environ, RUST_BACKTRACE="0")
        if contender.driver:
            environment["ROPEWALK_DRIVER"] = contender.driver
        with tempfile.TemporaryFile("w+") as complaint:
            server = subprocess.Popen(
                ["taskset", "-c", self.server_cores(), *program],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=complaint,
                text=True,
            )
            try:
                return self.ask(case, contender, server)
            except Failed as reason:
                complaint.seek(0)
                words = [line.strip() for line in complaint if line.strip() and "panicked at" not in line]
                if not words:
                    raise
                # Python says it at the end. Short enough for a table.
                telling = words[-1 if contender.module else 0]
                raise Failed(telling.replace("|", "/")[:120]) from reason
            finally:
                server.kill()
                server.wait()
                server.stdout.close()

    def ask(self, case, contender, server):
        """What the client finds at this server."""
        port = server.stdout.readline().strip()
        if not port:
            raise Failed("it does not listen")
        client = [
            *["taskset", "-c", str(self.options.client_core if case.apart else self.options.server_core)],
            *[str(self.target / "release" / "echo_client"), *case.client],
            *["--port", port, "--pid", str(server.pid), "--seconds", str(self.options.seconds)],
        ]
        if case.apart and self.options.client_core != self.options.server_core:
            client.append("--spin")
        patience = PATIENCE_WHEN_TESTING if self.options.test else PATIENCE
        if case.client[0] == "idle":
            figures = self.ask_idle(client, server, patience)
        elif self.options.cores > 1:
            figures = self.ask_by_many(case, port, server, patience)
        else:
            try:
                done = subprocess.run(
                    client, capture_output=True, text=True, timeout=self.options.seconds + patience, check=False
                )
            except subprocess.TimeoutExpired:
                raise Failed("it hung") from None
            if done.returncode != 0:
                raise Failed(done.stderr.strip() or "the client died")
            figures = figures_of(done.stdout)
        # Now that it has had to do with connections.
        if contender.ring is not None and has_ring(server.pid) != contender.ring:
            raise Failed("it has no io_uring" if contender.ring else "it has an io_uring")
        return figures

    def on_cores(self):
        """For titles."""
        return f", cores: {self.options.cores}" if self.options.cores > 1 else ""

    def server_cores(self):
        """For taskset."""
        if self.options.cores == 1:
            return str(self.options.server_core)
        return ",".join(str(core) for core in sorted(os.sched_getaffinity(0))[-self.options.cores :])

    def ask_by_many(self, case, port, server, patience):
        """A client for each core, on all of them; what they found together."""
        place = case.client.index("--connections") + 1
        share = max(1, int(case.client[place]) // self.options.cores)
        client = [
            *["taskset", "-c", self.server_cores(), str(self.target / "release" / "echo_client")],
            *[*case.client[:place], str(share), *case.client[place + 1 :]],
            *["--port", port, "--pid", str(server.pid), "--seconds", str(self.options.seconds)],
        ]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes = [subprocess.Popen(client, **pipes) for _ in range(self.options.cores)]
        found = []
        try:
            for process in processes:
                try:
                    output, complaint = process.communicate(timeout=self.options.seconds + patience)
                except subprocess.TimeoutExpired:
                    raise Failed("it hung") from None
                if process.returncode != 0:
                    raise Failed(complaint.strip() or "a client died")
                found.append(figures_of(output))
        finally:
            for process in processes:
                process.kill()
                process.wait()
        # Each has seen all of the server's CPU time, and its own requests.
        rate = sum(figures["per second"] for figures in found)
        seen = statistics.mean(figures["CPU ns"] * figures["per second"] for figures in found)
        return {"per second": rate, "CPU ns": seen / rate}

    def ask_idle(self, client, server, patience):
        before = [status_bytes(server.pid, name) for name in ("VmRSS", "VmPTE")]
        with subprocess.Popen(
            client, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            # Whoever hangs is killed, and then its output ends.
            watchdog = threading.Timer(patience, process.kill)
            watchdog.start()
            try:
                line = process.stdout.readline()
                if not line:
                    raise Failed(process.stderr.read().strip() or "it hung")
                count = figures_of(line)["connections"]
                after = [status_bytes(server.pid, name) for name in ("VmRSS", "VmPTE")]
            finally:
                watchdog.cancel()
                process.stdin.close()
                process.kill()
        resident, tables = [(now - then) / count for now, then in zip(after, before)]
        return {"resident": resident, "tables": tables}


def short(value):
    """Three digits are what these figures are good for."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(outcomes, case, contender, figure, scale, with_ratio):
    """The median, and in brackets its ratio to the reference's."""
    outcome = outcomes[case, contender]
    if outcome.failure:
        return outcome.failure
    if figure not in outcome.figures:
        return ""
    median = statistics.median(outcome.figures[figure])
    text = short(median * scale)
    reference = outcomes.get((case, REFERENCE), Outcome()).figures.get(figure)
    if with_ratio and reference:
        text += f" ({median / statistics.median(reference):.2f})"
    return text


def print_table(title, outcomes, columns, with_ratio=True):
    """`columns` are (title, case, figure, scale)."""
    print(f"\n| {title} | {' | '.join(name for name, *_ in columns)} |")
    print("|---|" + "---|" * len(columns))
    contenders = list(dict.fromkeys(contender for _, contender in outcomes))
    for contender in contenders:
        cells = [cell(outcomes, case, contender, figure, scale, with_ratio) for _, case, figure, scale in columns]
        print(f"| {contender} | {' | '.join(cells)} |")
    sys.stdout.flush()


def bytes_of(count):
    return f"{count // 1024} KiB" if count % 1024 == 0 else f"{count} B"


def echo(bench):
    """How much can it do?"""
    connections = [8] if bench.options.test else [64, 1000]
    cases = [
        Case(
            f"{count:,} connections, {bytes_of(size)}",
            ["echo", "--connections", str(count), "--bytes", str(size)],
        )
        for count in connections
        for size in (64, 16 * 1024)
    ]
    outcomes = bench.hold(cases)
    if not bench.options.test:
        cpu = [(case.name, case.name, "CPU ns", 1e-3) for case in cases]
        print_table(f"echo{bench.on_cores()}: µs of the server's CPU for a request", outcomes, cpu)
        rate = [(case.name, case.name, "per second", 1e-3) for case in cases]
        print_table(f"echo{bench.on_cores()}: thousands of requests a second", outcomes, rate)
    return outcomes


def accept(bench):
    """What does it cost to come and go?"""
    case = Case("accept", ["accept", "--connections", "8" if bench.options.test else "64", "--bytes", "64"])
    outcomes = bench.hold([case])
    if not bench.options.test:
        columns = [
            ("µs of the server's CPU for a connection", case.name, "CPU ns", 1e-3),
            ("thousands of connections a second", case.name, "per second", 1e-3),
        ]
        print_table(f"accept, echo 64 B, close; 64 at a time{bench.on_cores()}", outcomes, columns)
    return outcomes


def latency(bench):
    """How long does an answer take under a load that does not wait?"""
    rate = 1000 if bench.options.test else bench.options.rate
    client = ["rate", "--connections", "64", "--bytes", "64", "--rate", str(rate)]
    case = Case("latency", client, apart=True)
    outcomes = bench.hold([case])
    if not bench.options.test:
        columns = [
            ("p50", case.name, "p50 ns", 1e-3),
            ("p99", case.name, "p99 ns", 1e-3),
            ("p99.9", case.name, "p99.9 ns", 1e-3),
            ("server's CPU for a request", case.name, "CPU ns", 1e-3),
        ]
        print_table(f"µs for an answer, {rate:,} requests a second", outcomes, columns)
    return outcomes


def idle(bench):
    """What does a connection hold?"""
    wanted = 64 if bench.options.test else bench.options.idle
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + OTHER_DESCRIPTORS
    if needed > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(hard, needed)))
        except (OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            wanted = min(wanted, hard - OTHER_DESCRIPTORS)
            say(f"{wanted:,} connections: this process may not have more than {hard:,} descriptors")
    case = Case("idle", ["idle", "--connections", str(wanted)], buffer=IDLE_BUFFER_BYTES)
    rounds, bench.options.rounds = bench.options.rounds, 1
    outcomes = bench.hold([case])
    bench.options.rounds = rounds
    if not bench.options.test:
        columns = [
            ("bytes each", case.name, "resident", 1),
            ("bytes of page tables each", case.name, "tables", 1),
        ]
        # A loop without tasks holds next to nothing.
        print_table(f"{wanted:,} idle connections", outcomes, columns, with_ratio=False)
    return outcomes


MODES = {"echo": echo, "accept": accept, "latency": latency, "idle": idle}


def parse():
    cores = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description="What does an echo server cost with each library?")
    parser.add_argument("modes", nargs="*", choices=[*MODES, []], metavar="mode", help=", ".join(MODES))
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--buffer", type=int, help="of each connection, instead of 16 KiB and a little")
    parser.add_argument("--rate", type=int, default=20_000)
    parser.add_argument("--idle", type=int, default=100_000)
    parser.add_argument("--cores", type=int, default=1, help="of the server, which has as many threads, and of its clients")
    parser.add_argument("--server-core", type=int, default=cores[-1])
    parser.add_argument("--client-core", type=int, default=cores[-2] if len(cores) > 1 else cores[-1])
    parser.add_argument("--only", action="append", default=[], help="contenders whose name contains this")
    options = parser.parse_args()
    if options.cores > 1:
        options.modes = options.modes or ["echo", "accept"]
        if options.cores > len(cores):
            parser.error(f"this process may use {len(cores)} cores")
        if set(options.modes) - {"echo", "accept"}:
            parser.error("with several cores there are echo and accept")
    if options.test:
        options.rounds, options.seconds = 1, 0.05
    return options


def main():
    options = parse()
    bench = Bench(options)
    failed = False
    for mode in options.modes or MODES:
        outcomes = MODES[mode](bench)
        if options.test:
            for (case, contender), outcome in outcomes.items():
                failed |= bool(outcome.failure)
                print(f"{mode}: {case}: {contender}: {outcome.failure or 'ok'}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
