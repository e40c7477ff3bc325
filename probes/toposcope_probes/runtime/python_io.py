"""How many connections one process serves well: threads against event loops, on loopback.

    python3 python_io.py cpus=0,1 model=MODEL work=echo|timer connections=100

with MODEL one of thread (one a connection, blocking), asyncio (streams), uvloop (asyncio's streams on it),
gevent, tornado. The server is a process (fork) pinned to the first CPU. This process drives it from the last
CPU: all connections are open, and at most so many of them (see `_WORK`) have a message of 64 bytes under way;
an answer lets the connection that has waited longest go next. With work `timer` the server waits 100 ms
before it answers, as for a database.

`requests_per_s` and `latency_p99_ns`, window by window; `memory_bytes` for each connection: growth of the
server's private memory from none to all connections, each of which was answered once. No batch is dropped:
the server's threads switch because they serve. 127.0.0.1 only, on a port that the kernel picks; closing
resets (SO_LINGER 0), so that no port stays behind in TIME_WAIT. Where the limits of open files or of threads
(RLIMIT_NPROC, pids.max, memory) allow fewer connections the line says `not_applicable`.
"""

from __future__ import annotations

import collections
import os
import resource
import select
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from toposcope_probes.runtime import harness

else:  # run as a file: the neighbour in its own folder
    import harness

_MESSAGE = b"m" * 64
# By work: wait before an answer, messages under way at most, length of a window. With thousands of threads
# runnable at once the GIL's timed waits alone keep the CPU busy, and nothing is served: no server gets there.
_WORK = {"echo": (0.0, 100, 50_000_000), "timer": (0.1, 1000, 250_000_000)}
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_SPARE_FILES = 64
_WINDOWS_MIN, _WINDOWS_MAX = 4, 200
_STALL_S = 5.0
# The exit status of a server that may not start another thread.
_NO_MORE_THREADS = 3
_ENDING_NS_MAX = 2_000_000_000


def measure(request: harness.Request) -> harness.Outcome:
    """One outcome for the model, the work and the number of connections that were asked for."""
    model, work = request.variant["model"], request.variant["work"]
    count = int(request.variant["connections"])
    if model not in _SERVERS or work not in _WORK:
        raise harness.Failure(f"no model {model} or no work {work}")
    libraries = _libraries(model)
    _allow_files(count + _SPARE_FILES)
    wait_s, under_way, window_ns = _WORK[work]
    pid, port = start_server(model, wait_s, request.cpus[0])
    harness.pin(request.cpus[-1])
    before_bytes = harness.private_bytes(pid)
    client = Client(port)
    try:
        client.connect(count)
    except ConnectionError as error:
        if _exit_status(pid) == _NO_MORE_THREADS:
            raise harness.Unavailable(f"the server may not start {count} threads") from error
        raise
    memory_bytes = max(harness.private_bytes(pid) - before_bytes, 1) / count
    rates, tails = client.drive(request, under_way, window_ns)
    client.close()
    harness.end_children()
    placement = "one_cpu" if request.cpus[0] == request.cpus[-1] else "two_cpus"
    samples = {"requests_per_s": rates, "latency_p99_ns": tails, "memory_bytes": [memory_bytes]}
    facts = {"libraries": libraries, "placement": placement, "start_method": "fork"}
    return harness.Outcome(samples, facts)


def _libraries(model: str) -> dict[str, str]:
    if model in ("thread", "asyncio"):
        return {}
    module = harness.library(model)
    return {model: str(getattr(module, "__version__", None) or module.version)}


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise harness.Unavailable(f"needs {count} open files, the limit is {hard}")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def _exit_status(pid: int) -> int | None:
    """What a server that dropped its connections ended with; None if it lives on."""
    until_ns = time.perf_counter_ns() + _ENDING_NS_MAX
    while time.perf_counter_ns() < until_ns:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return None


# -- The client ----------------------------------------------------------------------------------------


class Client:
    """All connections in one thread, by epoll: cheaper a message than any of the servers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._sent_ns: dict[int, int] = {}
        self._idle: collections.deque[int] = collections.deque()

    def connect(self, count: int) -> None:
        """Open so many connections; each has been answered once when this returns."""
        for _ in range(count):
            connection = socket.socket()
            # Before there is a connection: who is killed between the two would leave one in TIME_WAIT.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(_STALL_S)
            connection.connect(("127.0.0.1", self._port))
            connection.sendall(_MESSAGE)
            self._sockets[connection.fileno()] = connection
        for number, connection in self._sockets.items():
            self._receive(connection)
            connection.setblocking(False)
            self._poll.register(number, select.EPOLLIN)

    def begin(self, under_way: int) -> None:
        """Send on so many of the connections."""
        self._idle.extend(self._sockets)
        for _ in range(min(under_way, len(self._sockets))):
            self._send(self._idle.popleft())

    def drive(
        self, request: harness.Request, under_way: int, window_ns: int
    ) -> tuple[list[float], list[float]]:
        """Requests a second and 99th percentile of the latency, window by window (the first is warm-up)."""
        self.begin(under_way)
        rates: list[float] = []
        tails: list[float] = []
        self.window(window_ns)
        for _ in request.rounds(_WINDOWS_MIN, _WINDOWS_MAX):
            begin_ns = time.perf_counter_ns()
            latencies = sorted(self.window(window_ns))
            rates.append(len(latencies) * 1e9 / (time.perf_counter_ns() - begin_ns))
            tails.append(float(latencies[len(latencies) * 99 // 100]))
        return rates, tails

    def window(self, window_ns: int) -> list[int]:
        """Latencies of the answers in one window; at least one."""
        until_ns = time.perf_counter_ns() + window_ns
        latencies: list[int] = []
        while time.perf_counter_ns() < until_ns or not latencies:
            events = self._poll.poll(_STALL_S, 256)
            if not events:
                raise harness.Failure(f"the server was silent for {_STALL_S:g} s")
            for number, _ in events:
                self._receive(self._sockets[number])
                latencies.append(time.perf_counter_ns() - self._sent_ns[number])
                self._idle.append(number)
                self._send(self._idle.popleft())
        return latencies

    @staticmethod
    def _receive(connection: socket.socket) -> None:
        answer = connection.recv(len(_MESSAGE))
        if answer != _MESSAGE:
            raise harness.Failure(f"an answer of {len(answer)} bytes came for {len(_MESSAGE)}")

    def _send(self, number: int) -> None:
        self._sent_ns[number] = time.perf_counter_ns()
        self._sockets[number].send(_MESSAGE)

    def close(self) -> None:
        """Close everything; the server dies with its process."""
        for connection in self._sockets.values():
            connection.close()
        self._poll.close()


# -- The servers ---------------------------------------------------------------------------------------


def start_server(model: str, wait_s: float, cpu: int) -> tuple[int, int]:
    """Fork a server and return its pid and port once it listens."""
    import multiprocessing

    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_server_process, args=(os.getpid(), sender, model, wait_s, cpu))
    process.start()
    sender.close()
    port = int(receiver.recv_bytes())
    receiver.close()
    assert process.pid is not None
    return process.pid, port


def _server_process(parent_pid: int, sender: Connection, model: str, wait_s: float, cpu: int) -> None:
    harness.become_worker(parent_pid)
    harness.pin(cpu)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(4096)
    port = listener.getsockname()[1]
    _SERVERS[model](listener, wait_s, lambda: sender.send_bytes(str(port).encode()))


def _serve_threads(listener: socket.socket, wait_s: float, ready: Callable[[], None]) -> None:
    ready()
    while True:
        connection, _ = listener.accept()
        thread = threading.Thread(target=_serve_blocking, args=(connection, wait_s, time.sleep), daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):  # "can't start new thread"
            os._exit(_NO_MORE_THREADS)


def _serve_blocking(connection: socket.socket, wait_s: float, sleep: Callable[[float], None]) -> None:
    """One connection, for its whole life; a thread's or (with gevent's socket and sleep) a greenlet's."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while True:
            message = connection.recv(len(_MESSAGE))
            if wait_s:
                sleep(wait_s)
            connection.sendall(message)
    except ConnectionError:
        return  # the client has what it wanted


def _serve_asyncio(listener: socket.socket, wait_s: float, ready: Callable[[], None]) -> None:
    import asyncio

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                message = await reader.read(len(_MESSAGE))
                if wait_s:
                    await asyncio.sleep(wait_s)
                writer.write(message)
                await writer.drain()
        except ConnectionError:
            return

    async def serve() -> None:
        server = await asyncio.start_server(serve_one, sock=listener, backlog=4096)
        ready()
        await server.serve_forever()

    asyncio.run(serve())


def _serve_uvloop(listener: socket.socket, wait_s: float, ready: Callable[[], None]) -> None:
    import asyncio

    asyncio.set_event_loop_policy(harness.library("uvloop").EventLoopPolicy())
    _serve_asyncio(listener, wait_s, ready)


def _serve_gevent(listener: socket.socket, wait_s: float, ready: Callable[[], None]) -> None:
    gevent, baseserver = harness.library("gevent"), harness.library("gevent.server")
    gevent_socket = harness.library("gevent.socket")
    own = gevent_socket.socket(fileno=listener.detach())
    server = baseserver.StreamServer(own, lambda peer, _: _serve_blocking(peer, wait_s, gevent.sleep))
    server.start()
    ready()
    server.serve_forever()


def _serve_tornado(listener: socket.socket, wait_s: float, ready: Callable[[], None]) -> None:
    import asyncio

    tcpserver, iostream = harness.library("tornado.tcpserver"), harness.library("tornado.iostream")

    class Echo(tcpserver.TCPServer):  # type: ignore[misc,name-defined]
        async def handle_stream(self, stream: Any, address: object) -> None:  # noqa: ANN401, ARG002
            stream.set_nodelay(True)
            try:
                while True:
                    message = await stream.read_bytes(len(_MESSAGE), partial=True)
                    if wait_s:
                        await asyncio.sleep(wait_s)
                    await stream.write(message)
            except iostream.StreamClosedError:
                return

    async def serve() -> None:
        listener.setblocking(False)
        Echo().add_socket(listener)
        ready()
        await asyncio.Event().wait()

    asyncio.run(serve())


_SERVERS: dict[str, Callable[[socket.socket, float, Callable[[], None]], None]] = {
    "thread": _serve_threads,
    "asyncio": _serve_asyncio,
    "uvloop": _serve_uvloop,
    "gevent": _serve_gevent,
    "tornado": _serve_tornado,
}

if __name__ == "__main__":
    harness.main("python_io", {"model": "thread", "work": "echo", "connections": "10"}, measure)
