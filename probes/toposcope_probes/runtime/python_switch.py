"""What it costs to let another worker go on, and how long one that doesn't let go holds up the rest.

    python3 python_switch.py cpus=0 model=await|asyncio_task|gevent|thread|process

`switch_ns`, one way, all on the first CPU (a switch is what happens on one CPU; across CPUs it is a message,
see python_channel):

    await           a coroutine that returns at once, awaited: what people write most; no event loop in it
    asyncio_task    two tasks that take turns by `await asyncio.sleep(0)`
    gevent          two greenlets that take turns by `gevent.sleep(0)`
    thread          two threads, each releasing the other's lock and acquiring its own
    process         two processes (fork), the same with two semaphores of multiprocessing

`stall_ns`: one worker computes for 40 ms without letting go while another wants to run every millisecond:
the longest gap that the second one saw. Coroutines are not preempted, so the gap is the whole time; threads
are, by the GIL's switch interval; processes by the kernel. `await` has no second worker, hence no stall.

No batch is dropped: hand-overs of threads and processes are context switches, and a hand-over that had to
wait for others on this CPU is told by the spread of the samples.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from toposcope_probes.runtime import harness

    class Latch(Protocol):
        """A lock of threading or a semaphore of multiprocessing."""

        def acquire(self) -> bool: ...  # noqa: D102
        def release(self) -> None: ...  # noqa: D102
else:  # run as a file: the neighbour in its own folder
    import harness

_AWAITS_A_BATCH = 1000
_LIGHT_A_BATCH = 100  # round trips
_HEAVY_A_BATCH = 20
_HOG_NS = 40_000_000
_TICK_S = 0.001
_STALL_ROUNDS = 5
_ROUNDS_MIN, _ROUNDS_MAX = 30, 5000


def measure(request: harness.Request) -> harness.Outcome:
    """One outcome for the model that was asked for."""
    harness.pin(request.cpus[0])
    models: dict[str, Callable[[harness.Request], harness.Outcome]] = {
        "await": _await, "asyncio_task": _asyncio_task, "gevent": _gevent,
        "thread": _thread, "process": _process,
    }  # fmt: skip
    if request.variant["model"] not in models:
        raise harness.Failure(f"no model {request.variant['model']}")
    return models[request.variant["model"]](request)


def _timed_rounds(request: harness.Request, batch: Callable[[], None], switches: int) -> list[float]:
    batch()
    times: list[float] = []
    for _ in request.rounds(_ROUNDS_MIN, _ROUNDS_MAX):
        begin_ns = time.perf_counter_ns()
        batch()
        times.append((time.perf_counter_ns() - begin_ns) / switches)
    return times


def _compute_ns(duration_ns: int) -> None:
    """Keep the CPU and the interpreter busy; nothing in here waits."""
    until_ns = time.perf_counter_ns() + duration_ns
    while time.perf_counter_ns() < until_ns:
        pass


class _Gap:
    """The longest time between two ticks."""

    def __init__(self) -> None:
        self._last_ns = time.perf_counter_ns()
        self.longest_ns = 0

    def tick(self) -> None:
        now_ns = time.perf_counter_ns()
        self.longest_ns = max(self.longest_ns, now_ns - self._last_ns)
        self._last_ns = now_ns


# -- Coroutines ----------------------------------------------------------------------------------------


async def _returns_at_once() -> None:
    pass


def _await(request: harness.Request) -> harness.Outcome:
    async def batch() -> None:
        for _ in range(_AWAITS_A_BATCH):
            await _returns_at_once()

    def run() -> None:
        try:
            batch().send(None)
        except StopIteration:
            return

    times = _timed_rounds(request, run, _AWAITS_A_BATCH)
    return harness.Outcome({"switch_ns": times}, queues_for_cpu=False)


def _asyncio_task(request: harness.Request) -> harness.Outcome:
    import asyncio

    async def taker() -> None:
        for _ in range(_LIGHT_A_BATCH):
            await asyncio.sleep(0)

    async def batch() -> float:
        begin_ns = time.perf_counter_ns()
        await asyncio.gather(taker(), taker())
        return (time.perf_counter_ns() - begin_ns) / (2 * _LIGHT_A_BATCH)

    async def stall() -> float:
        gap = _Gap()

        async def hog() -> None:
            _compute_ns(_HOG_NS)

        busy = asyncio.create_task(hog())
        while True:
            gap.tick()
            if busy.done():
                return float(gap.longest_ns)
            await asyncio.sleep(_TICK_S)

    async def all_rounds() -> harness.Outcome:
        await batch()
        times = [await batch() for _ in request.rounds(_ROUNDS_MIN, _ROUNDS_MAX)]
        stalls = [await stall() for _ in range(_STALL_ROUNDS)]
        return harness.Outcome({"switch_ns": times, "stall_ns": stalls}, queues_for_cpu=False)

    return asyncio.run(all_rounds())


def _gevent(request: harness.Request) -> harness.Outcome:
    gevent = harness.library("gevent")

    def taker() -> None:
        for _ in range(_LIGHT_A_BATCH):
            gevent.sleep(0)

    def batch() -> None:
        gevent.joinall([gevent.spawn(taker), gevent.spawn(taker)])

    def stall() -> float:
        gap = _Gap()
        busy = gevent.spawn(_compute_ns, _HOG_NS)
        while True:
            gap.tick()
            if busy.ready():
                return float(gap.longest_ns)
            gevent.sleep(_TICK_S)

    times = _timed_rounds(request, batch, 2 * _LIGHT_A_BATCH)
    stalls = [stall() for _ in range(_STALL_ROUNDS)]
    facts = {"libraries": {"gevent": gevent.__version__}}
    return harness.Outcome({"switch_ns": times, "stall_ns": stalls}, facts, queues_for_cpu=False)


# -- Threads and processes -----------------------------------------------------------------------------


def _hand_over(own: Latch, other: Latch) -> None:
    """Half a round trip: the other one runs until it gives back what we wait for."""
    other.release()
    own.acquire()


def _answer(own: Latch, other: Latch) -> None:
    while True:
        own.acquire()
        other.release()


def _thread(request: harness.Request) -> harness.Outcome:
    here, there = threading.Lock(), threading.Lock()
    here.acquire()
    there.acquire()
    threading.Thread(target=_answer, args=(there, here), daemon=True).start()

    def batch() -> None:
        for _ in range(_HEAVY_A_BATCH):
            _hand_over(here, there)

    times = _timed_rounds(request, batch, 2 * _HEAVY_A_BATCH)
    stalls = [_stall_beside_thread() for _ in range(_STALL_ROUNDS)]
    return harness.Outcome({"switch_ns": times, "stall_ns": stalls})


def _stall_beside_thread() -> float:
    gap = _Gap()
    busy = threading.Thread(target=_compute_ns, args=(_HOG_NS,), daemon=True)
    busy.start()
    while busy.is_alive():
        gap.tick()
        time.sleep(_TICK_S)
    gap.tick()
    return float(gap.longest_ns)


def _answering_process(parent_pid: int, own: Latch, other: Latch) -> None:
    harness.become_worker(parent_pid)
    _answer(own, other)


def _computing_process(parent_pid: int) -> None:
    harness.become_worker(parent_pid)
    _compute_ns(_HOG_NS)


def _process(request: harness.Request) -> harness.Outcome:
    import multiprocessing

    context = multiprocessing.get_context("fork")
    here, there = context.Semaphore(0), context.Semaphore(0)
    context.Process(target=_answering_process, args=(os.getpid(), there, here)).start()

    def batch() -> None:
        for _ in range(_HEAVY_A_BATCH):
            _hand_over(here, there)

    def stall() -> float:
        gap = _Gap()
        busy = context.Process(target=_computing_process, args=(os.getpid(),))
        busy.start()
        while busy.exitcode is None:
            gap.tick()
            time.sleep(_TICK_S)
        return float(gap.longest_ns)

    times = _timed_rounds(request, batch, 2 * _HEAVY_A_BATCH)
    stalls = [stall() for _ in range(_STALL_ROUNDS)]
    return harness.Outcome({"switch_ns": times, "stall_ns": stalls}, {"start_method": "fork"})


if __name__ == "__main__":
    harness.main("python_switch", {"model": "thread"}, measure)
