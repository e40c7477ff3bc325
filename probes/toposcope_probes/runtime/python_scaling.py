"""How much faster N workers get N tasks done than one worker does, for work that needs the CPU.

    python3 python_scaling.py cpus=0,1,2,3 model=MODEL work=python|native

with MODEL one of thread, process_fork, asyncio_task, subinterpreter.

`speedup_ratio`: the time that one task takes alone, times N, by the time in which N workers, made for the
purpose and gone afterwards, do a task each (about 20 ms), with N the number of CPUs. 1 says that they take
turns, N that each has a CPU to itself. Alone and together alternate, and a sample is made of the least of
four timings each: others who want the same CPUs only ever add time, and not to both alike. Work `python` is
a loop in the interpreter; work `native` is SHA-256 of a large buffer, during which CPython lets the GIL go.
With work `native` the model asyncio_task hands the tasks to a pool of threads (run_in_executor), as programs
do.

The process and all workers may use exactly the CPUs given, and the scheduler places them. Facts:

    workers_curve   speed-up by number of workers: 1, 2, 4, … N
    length_curve    speed-up at N workers by length of the task: below 1 making the workers does not pay
    pays_from_ns    the shortest of those lengths from which on it pays (null: none of them)

No batch is dropped: that workers wait for each other (for the GIL) is what is measured.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from toposcope_probes.runtime import harness

    Together = Callable[["Task", int], None]  # do the task in so many workers at once
else:  # run as a file: the neighbour in its own folder
    import harness

_TASK_NS = 20_000_000
_LENGTHS_NS = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000)
_PAIRS_A_SAMPLE = 4
_ROUNDS_MIN, _ROUNDS_MAX = 3, 20
_BUFFER = bytes(1 << 18)  # about 150 µs of SHA-256; large enough that the GIL is let go (2047 bytes)
_STEP = 200  # turns of the interpreter's loop: about 10 µs


# What `Task` does, for interpreters that share no objects with this one.
_NATIVE_SOURCE = """
import hashlib
buffer = bytes({size})
for _ in range({steps}):
    hashlib.sha256(buffer).digest()
"""
_PYTHON_SOURCE = """
def work():
    total = 0
    for turn in range({turns}):
        total += turn & 3
work()
"""


class Task:
    """A piece of work of a fixed number of steps; callable, and the same in every kind of worker."""

    def __init__(self, work: str, steps: int) -> None:
        self.work, self.steps = work, steps

    def __call__(self) -> None:
        """Do it, in whoever's thread this is."""
        if self.work == "native":
            for _ in range(self.steps):
                hashlib.sha256(_BUFFER).digest()
            return
        total = 0
        for turn in range(self.steps * _STEP):
            total += turn & 3

    @classmethod
    def lasting(cls, work: str, duration_ns: float) -> Task:
        """A task of about that length here and now: steps by the least of several timings."""
        probe = cls(work, 10)
        step_ns = min(_timed(probe) for _ in range(10)) / probe.steps
        return cls(work, max(1, round(duration_ns / step_ns)))


def measure(request: harness.Request) -> harness.Outcome:
    """One outcome for the model and the work that were asked for."""
    harness.pin(*request.cpus)
    model, work = request.variant["model"], request.variant["work"]
    if work not in ("python", "native"):
        raise harness.Failure(f"no work {work}")
    together = _together(model, work)
    count = len(request.cpus)
    together(Task(work, 1), count)
    task = Task.lasting(work, _TASK_NS)
    ratios = [_speedup(together, task, count) for _ in request.rounds(_ROUNDS_MIN, _ROUNDS_MAX)]
    lengths = _length_curve(together, work, count)
    facts = {
        "workers": count,
        "task_ns": _TASK_NS,
        "workers_curve": _workers_curve(together, task, count, harness.median(ratios)),
        "length_curve": lengths,
        "pays_from_ns": _pays_from_ns(lengths),
        "start_method": "fork" if model == "process_fork" else None,
    }
    return harness.Outcome({"speedup_ratio": ratios}, facts)


def _timed(action: Callable[[], None]) -> int:
    begin_ns = time.perf_counter_ns()
    action()
    return time.perf_counter_ns() - begin_ns


def _speedup(together: Together, task: Task, count: int) -> float:
    """One sample; which of the two goes first changes from pair to pair."""
    alone_ns: list[int] = []
    together_ns: list[int] = []
    for pair in range(_PAIRS_A_SAMPLE):
        if pair % 2:
            alone_ns.append(_timed(task))
        together_ns.append(_timed(lambda: together(task, count)))
        if not pair % 2:
            alone_ns.append(_timed(task))
    return min(alone_ns) * count / min(together_ns)


def _workers_curve(together: Together, task: Task, count: int, at_count: float) -> list[dict[str, float]]:
    sizes = [2**power for power in range(count.bit_length()) if 2**power < count]
    curve = [{"workers": size, "speedup_ratio": _speedup(together, task, size)} for size in sizes]
    return [*curve, {"workers": count, "speedup_ratio": at_count}]


def _length_curve(together: Together, work: str, count: int) -> list[dict[str, float]]:
    tasks = {length_ns: Task.lasting(work, length_ns) for length_ns in _LENGTHS_NS}
    return [
        {"task_ns": length_ns, "speedup_ratio": _speedup(together, task, count)}
        for length_ns, task in tasks.items()
    ]


def _pays_from_ns(curve: list[dict[str, float]]) -> float | None:
    """The shortest length from which on, at every longer one too, the workers were faster by a tenth."""
    pays: float | None = None
    for point in reversed(curve):
        if point["speedup_ratio"] < 1.1:
            break
        pays = point["task_ns"]
    return pays


# -- The models ----------------------------------------------------------------------------------------


def _together(model: str, work: str) -> Together:
    if model == "thread":
        return _threads
    if model == "process_fork":
        return _processes
    if model == "asyncio_task":
        return _executor if work == "native" else _tasks
    if model == "subinterpreter":
        return _subinterpreters()
    raise harness.Failure(f"no model {model}")


def _threads(task: Task, count: int) -> None:
    threads = [threading.Thread(target=task, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _work_in_process(parent_pid: int, task: Task) -> None:
    harness.become_worker(parent_pid)
    task()


def _processes(task: Task, count: int) -> None:
    import multiprocessing

    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_work_in_process, args=(os.getpid(), task)) for _ in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode != 0:
            raise harness.Failure(f"a worker ended with {process.exitcode}")


def _tasks(task: Task, count: int) -> None:
    import asyncio

    async def worker() -> None:
        task()

    async def everyone() -> None:
        await asyncio.gather(*(worker() for _ in range(count)))

    asyncio.run(everyone())


def _executor(task: Task, count: int) -> None:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    async def everyone() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(count) as pool:
            await asyncio.gather(*(loop.run_in_executor(pool, task) for _ in range(count)))

    asyncio.run(everyone())


def _subinterpreters() -> Together:
    """Interpreters with a GIL of their own (PEP 684), each run by a thread; kept from call to call.

    From 3.12 on; before that all interpreters of a process share one GIL, and 3.12 and 3.13 have only
    private modules for it.
    """
    import sys

    if tuple(sys.version_info) < (3, 12) or sys.implementation.name != "cpython":
        raise harness.Unavailable("interpreters of one process have a GIL each only from CPython 3.12 on")
    name = {12: "_xxsubinterpreters"}.get(sys.version_info.minor, "_interpreters")
    interpreters = harness.library(name)
    made: list[object] = []

    def run(number: int, source: str) -> None:
        interpreters.run_string(made[number], source)

    def together(task: Task, count: int) -> None:
        while len(made) < count:
            made.append(interpreters.create())
        source = (_NATIVE_SOURCE if task.work == "native" else _PYTHON_SOURCE).format(
            steps=task.steps, turns=task.steps * _STEP, size=len(_BUFFER)
        )
        threads = [threading.Thread(target=run, args=(i, source), daemon=True) for i in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return together


if __name__ == "__main__":
    harness.main("python_scaling", {"model": "thread", "work": "python"}, measure)
