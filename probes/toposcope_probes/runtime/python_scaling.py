"""How much faster N workers get N tasks done than one worker does, for work that needs the CPU.

    python3 python_scaling.py cpus=0,1,2,3 model=MODEL work=python|native

with MODEL one of thread, process_fork, asyncio_task, subinterpreter.

`speedup_ratio`: the time that one task (about 10 ms) takes alone, times N, by the time in which N workers do
a task each, from the moment when all of them are there until the last is done; N is the number of CPUs. 1
says that they take turns, N that each has a CPU to itself. Alone and together alternate, and a sample is made
of the least of three timings each. Work `python` is a loop in the interpreter; work `native` is SHA-256 of a
large buffer, during which CPython lets the GIL go. With work `native` the model asyncio_task hands the tasks
to a pool of threads (run_in_executor), as programs do.

Each worker is pinned to a CPU of its own, so that none waits for another's CPU, and the time for which it
was runnable without running (run delay, schedstat) is taken out: then somebody else had that CPU, which is
no property of threads or processes. Waiting for the GIL is sleep, not run delay, and stays in.

Facts (for the length curve the time includes making the workers, the scheduler places them, and nothing is
taken out: that is what people get, on this host as busy as it is):

    workers_curve   speed-up by number of workers: 1, 2, 4, … N
    length_curve    speed-up at N workers by length of the task: below 1 making the workers does not pay
    pays_from_ns    the shortest of those lengths from which on it pays (null: none of them)

No batch is dropped: that workers wait for each other (for the GIL) is what is measured.
"""

from __future__ import annotations

import functools
import hashlib
import os
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, MutableSequence
    from types import ModuleType

    from toposcope_probes.runtime import harness

    Work = Callable[[], None]
    Together = Callable[[list[Work]], None]  # do each in a worker of its own, at once
else:  # run as a file: the neighbour in its own folder
    import harness

_TASK_NS = 10_000_000
_LENGTHS_NS = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000)
_PAIRS_A_SAMPLE = 3
_GATE_S = 0.0002
_ROUNDS_MIN, _ROUNDS_MAX, _BUDGET_SHARE = 5, 40, 4.0
_BUFFER = bytes(1 << 18)  # about 150 µs of SHA-256; large enough that the GIL is let go (2047 bytes)
_STEP = 200  # turns of the interpreter's loop: about 10 µs


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


class Job:
    """A task in one worker of several, which begin together. `times` is shared by all processes.

    It holds for each worker whether it is there, and when it would have begun and been done had it had its
    CPU to itself (ns on the clock that all processes share).
    """

    def __init__(self, task: Task, cpu: int, times: MutableSequence[float], index: int, count: int) -> None:
        self.task, self.cpu, self.times, self.index, self.count = task, cpu, times, index, count
        self.work: Work = task

    def __call__(self) -> None:
        """Pin, wait for the others, work, and note the times."""
        harness.pin(self.cpu)
        self.times[self.index] = 1.0
        woken_late_ns = 0
        while not all(self.times[: self.count]):
            before_ns = harness.run_delay_ns()
            time.sleep(_GATE_S)
            woken_late_ns = harness.run_delay_ns() - before_ns
        begin_ns = time.perf_counter_ns() - woken_late_ns
        self.times[self.count + self.index] = float(begin_ns)
        self.times[2 * self.count + self.index] = begin_ns + _undisturbed(self.work)


def measure(request: harness.Request) -> harness.Outcome:
    """One outcome for the model and the work that were asked for."""
    harness.pin(*request.cpus)
    model, work = request.variant["model"], request.variant["work"]
    if work not in ("python", "native"):
        raise harness.Failure(f"no work {work}")
    bench = _Bench(_together(model, work), request.cpus, in_turn=model == "asyncio_task" and work == "python")
    count = len(request.cpus)
    bench.together([Task(work, 1)] * count)
    harness.pin(request.cpus[0])  # run delay is counted soundly only where nothing migrates
    task = Task.lasting(work, _TASK_NS)
    ratios = [bench.speedup(task, count) for _ in request.rounds(_ROUNDS_MIN, _ROUNDS_MAX, _BUDGET_SHARE)]
    sizes = [2**power for power in range(count.bit_length()) if 2**power < count]
    workers = [{"workers": float(size), "speedup_ratio": bench.speedup(task, size)} for size in sizes]
    harness.pin(*request.cpus)
    lengths = [
        {"task_ns": float(length_ns), "speedup_ratio": bench.plain_speedup(Task.lasting(work, length_ns))}
        for length_ns in _LENGTHS_NS
    ]
    facts = {
        "workers": count,
        "task_ns": _TASK_NS,
        "workers_curve": [*workers, {"workers": float(count), "speedup_ratio": harness.median(ratios)}],
        "length_curve": lengths,
        "pays_from_ns": _pays_from_ns(lengths),
        "start_method": "fork" if model == "process_fork" else None,
    }
    return harness.Outcome({"speedup_ratio": ratios}, facts)


class _Bench:
    """Times tasks alone and together. `in_turn`: the workers share a thread and can't wait for each other."""

    def __init__(self, together: Together, cpus: tuple[int, ...], in_turn: bool) -> None:
        self.together = together
        self._cpus, self._in_turn = cpus, in_turn

    def speedup(self, task: Task, count: int) -> float:
        """One sample; which of the two goes first changes from pair to pair."""
        together = self._in_turn_ns if self._in_turn else self._together_ns
        return self._least_ratio(lambda: _undisturbed(task), lambda: together(task, count), count)

    def plain_speedup(self, task: Task) -> float:
        """The same for all workers with nothing left out and nothing taken out."""
        count = len(self._cpus)
        works: list[Work] = [task] * count
        return self._least_ratio(lambda: _timed(task), lambda: _timed(lambda: self.together(works)), count)

    @staticmethod
    def _least_ratio(alone: Callable[[], float], together: Callable[[], float], count: int) -> float:
        alone_ns: list[float] = []
        together_ns: list[float] = []
        for pair in range(_PAIRS_A_SAMPLE):
            if pair % 2:
                alone_ns.append(alone())
            together_ns.append(together())
            if not pair % 2:
                alone_ns.append(alone())
        return min(alone_ns) * count / min(together_ns)

    def _in_turn_ns(self, task: Task, count: int) -> float:
        works: list[Work] = [task] * count
        return _undisturbed(lambda: self.together(works))

    def _together_ns(self, task: Task, count: int) -> float:
        from multiprocessing.sharedctypes import RawArray

        times = RawArray("d", 3 * count)
        jobs: list[Work] = [Job(task, self._cpus[index], times, index, count) for index in range(count)]
        self.together(jobs)
        begins: list[float] = times[count : 2 * count]
        ends: list[float] = times[2 * count :]
        return max(ends) - min(begins)


def _undisturbed(action: Callable[[], None]) -> float:
    """How long it takes in this thread, less the time for which others had the CPU; at least its CPU time."""
    before_ns, cpu_ns = harness.run_delay_ns(), time.thread_time_ns()
    wall_ns = _timed(action)
    return max(wall_ns - (harness.run_delay_ns() - before_ns), time.thread_time_ns() - cpu_ns)


def _timed(action: Callable[[], None]) -> int:
    begin_ns = time.perf_counter_ns()
    action()
    return time.perf_counter_ns() - begin_ns


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


def _threads(works: list[Work]) -> None:
    threads = [threading.Thread(target=work, daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _work_in_process(parent_pid: int, work: Work) -> None:
    harness.become_worker(parent_pid)
    work()


def _processes(works: list[Work]) -> None:
    import multiprocessing

    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_work_in_process, args=(os.getpid(), work)) for work in works]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode != 0:
            raise harness.Failure(f"a worker ended with {process.exitcode}")


def _tasks(works: list[Work]) -> None:
    import asyncio

    async def worker(work: Work) -> None:
        work()

    async def everyone() -> None:
        await asyncio.gather(*map(worker, works))

    asyncio.run(everyone())


def _executor(works: list[Work]) -> None:
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    async def everyone() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(len(works)) as pool:
            await asyncio.gather(*(loop.run_in_executor(pool, work) for work in works))

    asyncio.run(everyone())


def _subinterpreters() -> Together:
    """Interpreters with a GIL of their own (PEP 684), each run by a thread; kept from call to call.

    From CPython 3.12 on; before that all interpreters of a process share one GIL.
    """
    import sys

    if tuple(sys.version_info) < (3, 12) or sys.implementation.name != "cpython":
        raise harness.Unavailable("interpreters of one process have a GIL each only from CPython 3.12 on")
    module = harness.library("_xxsubinterpreters" if sys.version_info.minor == 12 else "_interpreters")
    made: list[object] = []

    def together(works: list[Work]) -> None:
        while len(made) < len(works):
            made.append(module.create())
        threads = []
        for index, work in enumerate(works):
            task = work.task if isinstance(work, Job) else work
            assert isinstance(task, Task)
            elsewhere = functools.partial(_run_source, module, made[index], task)
            if isinstance(work, Job):
                work.work = elsewhere
            target = work if isinstance(work, Job) else elsewhere
            threads.append(threading.Thread(target=target, daemon=True))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return together


def _run_source(module: ModuleType, interpreter: object, task: Task) -> None:
    """Do what `task` does, in an interpreter that shares no objects with this one."""
    source = _NATIVE_SOURCE if task.work == "native" else _PYTHON_SOURCE
    text = source.format(steps=task.steps, turns=task.steps * _STEP, size=len(_BUFFER))
    module.run_string(interpreter, text)


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


if __name__ == "__main__":
    harness.main("python_scaling", {"model": "thread", "work": "python"}, measure)
