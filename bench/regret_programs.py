"""The programs of bench_regret.py: each does a fixed amount of work under the affinity it was started with.

    python bench/regret_programs.py bfs|pagerank|pool|echo|pigz|redis|pgbench MODEL [WORKERS]

Prints `rate=NUMBER`, more is better. Clients of the servers (echo, redis, pgbench) run on every CPU of the
machine, whatever the server was given: nobody places the other end of a connection.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import os
import random
import re
import selectors
import shutil
import socket
import socketserver
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path

_MESSAGE = b"m" * 64
_CONNECTIONS, _ECHO_S = 50, 0.8
_POOL_TASKS, _POOL_STEPS = 12, 400_000
_PIGZ_BYTES = 24 << 20
_REDIS_REQUESTS = 25_000
_PG_BINARIES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), Path("/usr/bin"))
_PG_S = 1
_KERNEL_MODELS = {"threads": "thread", "processes": "process"}


def workload(kernel: str, model: str) -> float:
    """Our own workloads: a worker on each CPU of the affinity; edges a second."""
    program = Path(sysconfig.get_path("scripts")) / "toposcope-kernels"
    cpus = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    done = subprocess.run(
        [program, kernel, f"cpus={cpus}", f"model={_KERNEL_MODELS[model]}"],
        capture_output=True,
        text=True,
        check=True,
    )
    answer = json.loads(done.stdout.splitlines()[0])
    assert answer["status"] == "ok", answer
    return float(statistics.median(rate for group in answer["samples"]["edges_per_s"] for rate in group))


def steps(count: int) -> int:
    total = 0
    for number in range(count):
        total += number * number % 7
    return total


def pool(model: str, workers: int) -> float:
    """Computing in Python; tasks a second."""
    kinds = {
        "threads": concurrent.futures.ThreadPoolExecutor,
        "processes": concurrent.futures.ProcessPoolExecutor,
    }
    begin_s = time.perf_counter()
    with kinds[model](workers) as executor:
        assert len(set(executor.map(steps, [_POOL_STEPS] * _POOL_TASKS))) == 1
    return _POOL_TASKS / (time.perf_counter() - begin_s)


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(ConnectionResetError):  # the client ends with answers under way
            while data := self.request.recv(4096):
                self.request.sendall(data)


class _Threads(socketserver.ThreadingTCPServer):
    request_queue_size = 128
    daemon_threads = True


async def _echo_forever(listener: socket.socket) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionResetError):
            while data := await reader.read(4096):
                writer.write(data)
                await writer.drain()

    server = await asyncio.start_server(serve, sock=listener)
    await server.serve_forever()


def echo(model: str) -> float:
    """Answers a second over fifty connections on loopback; the client is a process of its own."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    port = listener.getsockname()[1]
    there, back = os.pipe()
    client = os.fork()
    if client == 0:
        listener.close()
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
        os.write(back, repr(_drive(port)).encode())
        os._exit(0)
    os.close(back)
    if model == "coroutines":
        threading.Thread(target=lambda: asyncio.run(_echo_forever(listener)), daemon=True).start()
    else:
        server = _Threads(("127.0.0.1", 0), _Echo, bind_and_activate=False)
        server.socket.close()
        server.socket = listener
        threading.Thread(target=server.serve_forever, daemon=True).start()
    with os.fdopen(there) as answer:
        rate = float(answer.read())
    os.waitpid(client, 0)
    return rate


def _drive(port: int) -> float:
    selector = selectors.DefaultSelector()
    for _ in range(_CONNECTIONS):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(_MESSAGE)
        selector.register(connection, selectors.EVENT_READ)
    answers, begin_s = 0, time.perf_counter()
    while (taken_s := time.perf_counter() - begin_s) < _ECHO_S:
        for key, _ in selector.select(1.0):
            assert isinstance(key.fileobj, socket.socket)
            if key.fileobj.recv(4096):
                answers += 1
                key.fileobj.sendall(_MESSAGE)
    return answers / taken_s


def pigz(workers: int) -> float:
    """Bytes a second of a text that is made anew, the same each time."""
    path = Path(tempfile.gettempdir()) / f"toposcope-regret-{os.getuid()}.txt"
    if not path.exists():
        source = random.Random(1)
        words = [source.randbytes(source.randint(1, 5)).hex() for _ in range(5000)]
        fresh = path.with_suffix(f".{os.getpid()}")
        with fresh.open("w") as file:
            while file.tell() < _PIGZ_BYTES:
                file.write(" ".join(source.choices(words, k=2000)) + "\n")
        fresh.replace(path)
    begin_s = time.perf_counter()
    subprocess.run(["pigz", "-p", str(workers), "-k", "-c", path], stdout=subprocess.DEVNULL, check=True)
    return path.stat().st_size / (time.perf_counter() - begin_s)


def redis(model: str) -> float:
    """Requests a second: SET and GET, fifty connections; `threads` reads and writes sockets with two."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    threads = ("--io-threads", "2", "--io-threads-do-reads", "yes") if model == "threads" else ()
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(
            ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
             "--dir", folder, *threads],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait_for(int(port))
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
            work = ("-t", "set,get", "-n", str(_REDIS_REQUESTS), "-c", "50", "--csv")
            done = subprocess.run(
                ["redis-benchmark", "-p", port, *work],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
        finally:
            server.terminate()
            server.wait(20)
    rates = [float(rate) for rate in re.findall(r'^"(?:SET|GET)","([\d.]+)"', done.stdout, re.MULTILINE)]
    return statistics.harmonic_mean(rates)


def pgbench() -> float:
    """Transactions a second of PostgreSQL, read only, a backend process for each of eight connections."""
    root = Path(tempfile.gettempdir()) / f"toposcope-regret-{os.getuid()}-pg"
    data = root / "data"
    if not (root / "filled").exists():
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(mode=0o700)
        if os.getuid() == 0:
            shutil.chown(root, "postgres", "postgres")
        _as_postgres("initdb", "--no-sync", "--auth=trust", "-D", data)
    options = f"-c listen_addresses= -c unix_socket_directories={root} -c fsync=off"
    _as_postgres("pg_ctl", "start", "-w", "-s", "-D", data, "-l", root / "log", "-o", options)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        if not (root / "filled").exists():
            _as_postgres("pgbench", "-i", "-q", "-s", "2", "-h", root, "postgres")
            (root / "filled").touch()
        said = _as_postgres("pgbench", "-S", "-c", "8", "-j", "2", "-T", _PG_S, "-h", root, "postgres")
    finally:
        _as_postgres("pg_ctl", "stop", "-s", "-m", "fast", "-D", data)
    found = re.search(r"tps = ([\d.]+) \(without initial", said)
    assert found is not None, said
    return float(found[1])


def _as_postgres(program: str, *words: object) -> str:
    """Run one of PostgreSQL's programs, none of which starts as root; what it says on stdout."""
    switch = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    command = [*switch, str(_PG_BINARIES / program), *map(str, words)]
    # A server keeps the descriptors that it was given, so that a pipe would never end.
    with tempfile.TemporaryFile("w+") as said:
        subprocess.run(command, stdout=said, stderr=subprocess.DEVNULL, check=True, cwd="/")
        said.seek(0)
        return said.read()


def _wait_for(port: int) -> None:
    end_s = time.monotonic() + 10
    while time.monotonic() < end_s:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2) as one:
            one.sendall(b"PING\r\n")
            if one.recv(16).startswith(b"+PONG"):
                return
        time.sleep(0.01)
    raise TimeoutError("redis-server does not answer")


def missing(name: str) -> str:
    """The program that `name` needs and that isn't there, or ""."""
    needs = {"pigz": ("pigz",), "redis": ("redis-server", "redis-benchmark"),
             "pgbench": (str(_PG_BINARIES / "pgbench"), str(_PG_BINARIES / "initdb"))}  # fmt: skip
    return next((program for program in needs.get(name, ()) if shutil.which(program) is None), "")


def main(name: str, model: str, workers: int = 2) -> None:
    rates = {
        "bfs": lambda: workload("workload_bfs", model),
        "pagerank": lambda: workload("workload_pagerank", model),
        "pool": lambda: pool(model, workers),
        "echo": lambda: echo(model),
        "pigz": lambda: pigz(workers),
        "redis": lambda: redis(model),
        "pgbench": pgbench,
    }
    print(f"rate={rates[name]():.6g}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:4]))
