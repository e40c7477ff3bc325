"""What one more worker costs: time to create, run nothing and be rid of it again; memory while it lives.

    python3 python_spawn.py cpus=0 model=MODEL

with MODEL one of thread, process_fork, process_forkserver, process_spawn, asyncio_task, greenlet.

`create_ns`: from the call that makes the worker to its having been joined or awaited. Everything is
pinned to the first CPU, so creator and worker take turns: the CPU time of it all, without the luck of
where the scheduler puts a new worker. Threads and processes are timed one by one, tasks and greenlets in
batches (they cost less than a hundred clock readings). No batch is dropped: the context switches that
elsewhere spoil a batch are part of what is measured here.

`memory_bytes`: growth of private memory for each of several idle workers; of the worker's own process where
it is one, else of this process. A fork shares what it does not touch, and is charged only the rest.
Modules that one model needs are imported there: forkserver and spawn import this file in every worker.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from toposcope_probes.runtime import harness

    MakeProcess = Callable[..., BaseProcess]
    MakePipe = Callable[..., tuple[Connection, Connection]]
else:  # run as a file: the neighbour in its own folder
    import harness

_BATCH_COUNT = 50  # tasks and greenlets
_THREAD_COUNT = 32  # idle workers for the memory
_PROCESS_COUNT = 4
_LIGHT_COUNT = 1000
_MEMORY_ROUNDS = 4


def measure(request: harness.Request) -> harness.Outcome:
    """One outcome for the model that was asked for."""
    harness.pin(request.cpus[0])
    model = request.variant["model"]
    if model == "thread":
        return _threads(request)
    if model == "asyncio_task":
        return _tasks(request)
    if model == "greenlet":
        return _greenlets(request)
    return _processes(request, model)


def _timed(action: Callable[[], None], count: int = 1) -> float:
    begin_ns = time.perf_counter_ns()
    action()
    return (time.perf_counter_ns() - begin_ns) / count


def _nothing() -> None:
    pass


# -- Threads -------------------------------------------------------------------------------------------


def _threads(request: harness.Request) -> harness.Outcome:
    def create() -> None:
        thread = threading.Thread(target=_nothing)
        thread.start()
        thread.join()

    for _ in range(20):
        create()
    times = [_timed(create) for _ in request.rounds(50, 5000)]
    return harness.Outcome({"create_ns": times, "memory_bytes": _thread_memory()})


def _thread_memory() -> list[float]:
    release = threading.Event()
    threads: list[threading.Thread] = []

    def start_some() -> None:
        some = [threading.Thread(target=release.wait, daemon=True) for _ in range(_THREAD_COUNT)]
        for thread in some:
            thread.start()
        threads.extend(some)

    sizes = _growth(start_some, _THREAD_COUNT)
    release.set()
    for thread in threads:
        thread.join()
    return sizes


def _growth(start_some: Callable[[], None], count: int) -> list[float]:
    """Bytes that each of `count` more workers took, several times; those before them are still there."""
    sizes: list[float] = []
    for _ in range(_MEMORY_ROUNDS):
        before_bytes = harness.private_bytes()
        start_some()
        sizes.append(max(harness.private_bytes() - before_bytes, 1) / count)
    return sizes


# -- Processes -----------------------------------------------------------------------------------------


def _process_work(parent_pid: int) -> None:
    harness.become_worker(parent_pid)


def _idle_process(parent_pid: int, ready: Connection) -> None:
    harness.become_worker(parent_pid)
    ready.send_bytes(b"ready")
    time.sleep(3600)


def _processes(request: harness.Request, model: str) -> harness.Outcome:
    import multiprocessing

    method = model.partition("_")[2]
    if method not in multiprocessing.get_all_start_methods():
        raise harness.Unavailable(f"no start method {method} here")
    context = multiprocessing.get_context(method)
    process_of: MakeProcess = context.Process  # type: ignore[attr-defined]  # typeshed leaves it out
    parent_pid = os.getpid() if method != "forkserver" else 0

    def create() -> None:
        process = process_of(target=_process_work, args=(parent_pid,))
        process.start()
        process.join()
        if process.exitcode != 0:
            raise harness.Failure(f"a worker ended with {process.exitcode}")

    create()  # starts the fork server, where there is one
    times = [_timed(create) for _ in request.rounds(5, 500)]
    memory = _process_memory(process_of, context.Pipe, parent_pid)
    return harness.Outcome({"create_ns": times, "memory_bytes": memory}, {"start_method": method})


def _process_memory(process_of: MakeProcess, pipe: MakePipe, parent_pid: int) -> list[float]:
    """Each worker's own pages, after it has said that it runs."""
    sizes: list[float] = []
    for _ in range(_PROCESS_COUNT):
        receiver, sender = pipe(duplex=False)
        process = process_of(target=_idle_process, args=(parent_pid, sender))
        process.start()
        sender.close()
        receiver.recv_bytes()
        sizes.append(float(harness.private_bytes(process.pid)))
        receiver.close()
    harness.end_children()
    return sizes


# -- Coroutines ----------------------------------------------------------------------------------------


async def _coroutine() -> None:
    pass


async def _waiting(release: asyncio.Event) -> None:
    await release.wait()


def _tasks(request: harness.Request) -> harness.Outcome:
    import asyncio

    async def create() -> float:
        begin_ns = time.perf_counter_ns()
        for _ in range(_BATCH_COUNT):
            await asyncio.create_task(_coroutine())
        return (time.perf_counter_ns() - begin_ns) / _BATCH_COUNT

    async def all_rounds() -> tuple[list[float], list[float]]:
        await create()
        times = [await create() for _ in request.rounds(50, 5000)]
        return times, await _task_memory()

    times, sizes = asyncio.run(all_rounds())
    return harness.Outcome({"create_ns": times, "memory_bytes": sizes}, queues_for_cpu=False)


async def _task_memory() -> list[float]:
    import asyncio

    release = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []
    sizes: list[float] = []
    for _ in range(_MEMORY_ROUNDS):
        before_bytes = harness.private_bytes()
        tasks += [asyncio.create_task(_waiting(release)) for _ in range(_LIGHT_COUNT)]
        await asyncio.sleep(0)
        sizes.append(max(harness.private_bytes() - before_bytes, 1) / _LIGHT_COUNT)
    release.set()
    await asyncio.gather(*tasks)
    return sizes


def _greenlets(request: harness.Request) -> harness.Outcome:
    greenlet = harness.library("greenlet")

    def create() -> None:
        for _ in range(_BATCH_COUNT):
            greenlet.greenlet(_nothing).switch()

    create()
    times = [_timed(create, _BATCH_COUNT) for _ in request.rounds(50, 5000)]
    waiting: list[object] = []

    def start_some() -> None:
        some = [greenlet.greenlet(greenlet.getcurrent().switch) for _ in range(_LIGHT_COUNT)]
        for worker in some:
            worker.switch()
        waiting.extend(some)

    facts = {"libraries": {"greenlet": greenlet.__version__}}
    samples = {"create_ns": times, "memory_bytes": _growth(start_some, _LIGHT_COUNT)}
    return harness.Outcome(samples, facts, queues_for_cpu=False)


if __name__ == "__main__":
    harness.main("python_spawn", {"model": "thread"}, measure)
