"""What it costs to say something: round trip and messages a second, by channel and message size.

    python3 python_channel.py cpus=0,1 channel=CHANNEL size_bytes=4096

with CHANNEL one of

    queue, simple_queue              queue.Queue, queue.SimpleQueue between two threads
    mp_queue, pipe, shared_memory    multiprocessing.Queue and Pipe, and a ring of slots in named shared
                                     memory with two semaphores, between two processes (fork)
    asyncio_queue                    asyncio.Queue between two tasks, one thread

Both ends are pinned: the first to the first CPU, the second to the second (or to the same where only one
was given; `placement` tells). Messages are `bytes`. Threads and tasks pass a reference, so their cost hardly
knows the size; processes copy, and that is the difference that this probe is about. With shared memory the
sender writes the message into the slot and the receiver makes `bytes` of it: both ends own what they hold.

`round_trip_ns`: a message there, and the same one back. `messages_per_s`: as fast as they go one way, until
the far end says that it has the last of a train. No batch is dropped: waiting for the other end is a context
switch, and it is what is measured.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import queue
    from collections.abc import Callable
    from multiprocessing.queues import Queue
    from multiprocessing.shared_memory import SharedMemory
    from multiprocessing.synchronize import Semaphore

    from toposcope_probes.runtime import harness

    End = tuple[Callable[[bytes], None], Callable[[], bytes]]  # send, receive
    Ends = tuple[End, End]
else:  # run as a file: the neighbour in its own folder
    import harness

# The first byte of a message says what the far end does with it.
_ECHO, _SWALLOW, _ACKNOWLEDGE = b"e", b"s", b"a"
_TRAIN_BYTES_MAX = 8 << 20
_SLOT_COUNT = 8
_TRIPS_MIN, _ROUNDS_MAX = 50, 5000


def measure(request: harness.Request) -> harness.Outcome:
    """One outcome for the channel and the message size that were asked for."""
    channel, size_bytes = request.variant["channel"], int(request.variant["size_bytes"])
    near_cpu, far_cpu = request.cpus[0], request.cpus[min(1, len(request.cpus) - 1)]
    harness.pin(near_cpu)
    start_method: str | None = None
    if channel == "asyncio_queue":
        facts: dict[str, object] = {"placement": "one_cpu", "ends": [near_cpu, near_cpu]}
        return harness.Outcome(_between_tasks(request, size_bytes), facts, queues_for_cpu=False)
    if channel in ("queue", "simple_queue"):
        near, far = _thread_queues(channel)
        threading.Thread(target=_far_end, args=(0, far_cpu, *far), daemon=True).start()
    elif channel in ("mp_queue", "pipe", "shared_memory"):
        import multiprocessing

        near, far = _process_ends(channel, size_bytes)
        start_method = "fork"
        context = multiprocessing.get_context("fork")
        context.Process(target=_far_end, args=(os.getpid(), far_cpu, *far)).start()
    else:
        raise harness.Failure(f"no channel {channel}")
    facts = {
        "placement": "one_cpu" if near_cpu == far_cpu else "two_cpus",
        "ends": [near_cpu, far_cpu],
        "start_method": start_method,
    }
    return harness.Outcome(_sample(request, size_bytes, *near), facts)


def _far_end(parent_pid: int, cpu: int, send: Callable[[bytes], None], receive: Callable[[], bytes]) -> None:
    """Echo, swallow or acknowledge for ever, in a thread or (with the parent's id) in a process."""
    if parent_pid:
        harness.become_worker(parent_pid)
    harness.pin(cpu)
    while True:
        message = receive()
        if message[:1] == _ECHO:
            send(message)
        elif message[:1] == _ACKNOWLEDGE:
            send(_ECHO)


def _sample(
    request: harness.Request, size_bytes: int, send: Callable[[bytes], None], receive: Callable[[], bytes]
) -> dict[str, list[float]]:
    """Round trips for the first half of the budget, trains for the second."""
    padding = b"x" * (size_bytes - 1)
    echo, swallow, acknowledge = _ECHO + padding, _SWALLOW + padding, _ACKNOWLEDGE + padding
    for _ in range(5):
        send(echo)
        receive()
    trips: list[float] = []
    for _ in request.rounds(_TRIPS_MIN, _ROUNDS_MAX, 0.5):
        begin_ns = time.perf_counter_ns()
        send(echo)
        receive()
        trips.append(float(time.perf_counter_ns() - begin_ns))
    length = _train_length(size_bytes)
    rates: list[float] = []
    for _ in request.rounds(5, _ROUNDS_MAX, 0.5):
        begin_ns = time.perf_counter_ns()
        for _ in range(length - 1):
            send(swallow)
        send(acknowledge)
        receive()
        rates.append(length * 1e9 / (time.perf_counter_ns() - begin_ns))
    return {"round_trip_ns": trips, "messages_per_s": rates}


def _train_length(size_bytes: int) -> int:
    return max(4, min(200, _TRAIN_BYTES_MAX // size_bytes))


# -- Threads and processes -----------------------------------------------------------------------------


def _thread_queues(channel: str) -> Ends:
    import queue

    there: queue.Queue[bytes] | queue.SimpleQueue[bytes]
    back: queue.Queue[bytes] | queue.SimpleQueue[bytes]
    if channel == "queue":
        there, back = queue.Queue(), queue.Queue()
    else:
        there, back = queue.SimpleQueue(), queue.SimpleQueue()
    return (there.put, back.get), (back.put, there.get)


def _process_ends(channel: str, size_bytes: int) -> Ends:
    import multiprocessing

    context = multiprocessing.get_context("fork")
    if channel == "mp_queue":
        there: Queue[bytes] = context.Queue()
        back: Queue[bytes] = context.Queue()
        return (there.put, back.get), (back.put, there.get)
    if channel == "pipe":
        near, far = context.Pipe()
        return (near.send, near.recv), (far.send, far.recv)
    out, home = _Ring(size_bytes), _Ring(size_bytes)
    return (out.send, home.receive), (home.send, out.receive)


class _Ring:
    """Slots in shared memory; each end counts for itself which slot comes next."""

    def __init__(self, size_bytes: int) -> None:
        import multiprocessing

        context = multiprocessing.get_context("fork")
        self._size_bytes = size_bytes
        self._memory = _nameless_memory(size_bytes * _SLOT_COUNT)
        self._free: Semaphore = context.Semaphore(_SLOT_COUNT)
        self._full: Semaphore = context.Semaphore(0)
        self._lengths = context.RawArray("Q", _SLOT_COUNT)
        self._slot = 0

    def send(self, message: bytes) -> None:
        """Wait for a free slot and fill it."""
        assert self._memory.buf is not None
        self._free.acquire()
        begin = self._slot * self._size_bytes
        self._memory.buf[begin : begin + len(message)] = message
        self._lengths[self._slot] = len(message)
        self._slot = (self._slot + 1) % _SLOT_COUNT
        self._full.release()

    def receive(self) -> bytes:
        """Wait for a full slot and empty it."""
        assert self._memory.buf is not None
        self._full.acquire()
        begin = self._slot * self._size_bytes
        message = bytes(self._memory.buf[begin : begin + self._lengths[self._slot]])
        self._slot = (self._slot + 1) % _SLOT_COUNT
        self._free.release()
        return message


def _nameless_memory(size_bytes: int) -> SharedMemory:
    """Named shared memory whose name is gone before anyone uses it: nothing can be left behind.

    Neither the deadline nor SIGTERM may come between the two calls. Against SIGKILL there is the resource
    tracker, which is started first, since its start would take longer than all the rest.
    """
    from multiprocessing import resource_tracker, shared_memory

    resource_tracker.ensure_running()
    signals = (signal.SIGALRM, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        memory = shared_memory.SharedMemory(create=True, size=size_bytes)
        memory.unlink()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    return memory


# -- Tasks ---------------------------------------------------------------------------------------------


def _between_tasks(request: harness.Request, size_bytes: int) -> dict[str, list[float]]:
    import asyncio

    echo, length = _ECHO + b"x" * (size_bytes - 1), _train_length(size_bytes)

    async def far_end(there: asyncio.Queue[bytes], back: asyncio.Queue[bytes]) -> None:
        while True:
            message = await there.get()
            if message[:1] != _SWALLOW:
                await back.put(message)

    async def all_rounds() -> dict[str, list[float]]:
        there: asyncio.Queue[bytes] = asyncio.Queue()
        back: asyncio.Queue[bytes] = asyncio.Queue()
        answer = asyncio.create_task(far_end(there, back))
        trips: list[float] = []
        for _ in request.rounds(_TRIPS_MIN, _ROUNDS_MAX, 0.5):
            begin_ns = time.perf_counter_ns()
            await there.put(echo)
            await back.get()
            trips.append(float(time.perf_counter_ns() - begin_ns))
        rates: list[float] = []
        for _ in request.rounds(5, _ROUNDS_MAX, 0.5):
            begin_ns = time.perf_counter_ns()
            for _ in range(length - 1):
                await there.put(_SWALLOW)
            await there.put(_ACKNOWLEDGE)
            await back.get()
            rates.append(length * 1e9 / (time.perf_counter_ns() - begin_ns))
        answer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await answer
        return {"round_trip_ns": trips, "messages_per_s": rates}

    return asyncio.run(all_rounds())


if __name__ == "__main__":
    harness.main("python_channel", {"channel": "queue", "size_bytes": "64"}, measure)
