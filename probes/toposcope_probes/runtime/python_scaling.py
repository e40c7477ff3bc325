"""How much faster N workers get N tasks done than one worker does, for work that needs the CPU.

    python3 python_scaling.py cpus=0,1,2,3 model=MODEL work=python|native

with MODEL one of thread, process_fork, asyncio_task, subinterpreter.

`speedup_ratio`: the time in which one worker does a task, times N, by the time in which N workers do a task
each, from when the first one begins until the last is done; N is the number of CPUs. 1 says that they take
turns, N that each has a CPU to itself. The workers stay, each pinned to a CPU of its own, and go from round
to round together: first one of them (each in its turn) works alone, then all do. Alone and together are a few
ms apart, and that is the point: on a guest whose hypervisor shares cores the interpreter was seen to run 1.8
times slower for tens of ms or for seconds, again and again. A task is short for the same reason: 3 ms, which
which is also less than the GIL's switch interval, so that handing over the GIL is not what is timed.

`parallelism_ratio`: how many of the N are under way at once on average (parallelism.py): 1 says that they
take turns, N that nothing but the CPUs holds them up. It knows nothing of how fast the CPUs are, so it is
right on a busy host, and on a guest whose CPUs are siblings of one core, where even processes gain a tenth.

Work `python` is a loop in the interpreter; work `native` is SHA-256 of a large buffer, during which CPython
lets the GIL go. With work `native` the model asyncio_task hands the tasks to a pool of threads
(run_in_executor), as programs do; with work `python` its workers share a thread and can't wait for each
other, so that alone and together are two event loops.

Facts (for the length curve the time includes making the workers, and the scheduler places them: that is what
people get, on this host as busy as it is):

    workers_curve   speed-up by number of workers: 1, 2, 4, … N
    length_curve    speed-up at N workers by length of the task: below 1 making the workers does not pay
    pays_from_ns    the shortest of those lengths from which on it pays (null: none of them)

No sample is dropped: that workers wait for each other (for the GIL) is what is measured.
"""

from __future__ import annotations

import functools
import hashlib
import os
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from toposcope_probes.runtime import harness, parallelism

    Work = Callable[[], None]
    Together = Callable[[list[Work]], None]  # do each in a worker of its own, at once
else:  # run as a file: the neighbour in its own folder
    import harness
    import parallelism

_TASK_NS = 3_000_000
_LENGTHS_NS = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000)
_GATE_S, _LOOKERS = 0.0001, 8
_ROUNDS_MIN, _ROUNDS_MAX, _BUDGET_SHARE = 20, 300, 2.5
_CURVE_ROUNDS = 10
_CHUNK_STEPS = {"python": 10, "native": 1}  # some 0.1 ms
_IN_TURN_WINDOWS = 12
_SHORT_PAIRS, _LONG_PAIRS, _LONG_NS = 7, 3, 5_000_000
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


class Rounds:
    """What the workers of one run share: where each is, and when it began and was done in each round.

    A round has two parts: one worker (each in its turn) works alone, then all work together. Times are on the
    clock that all processes share.
    """

    def __init__(self, count: int, rounds: int) -> None:
        from multiprocessing.sharedctypes import RawArray

        self.count, self.rounds = count, rounds
        self._arrived = RawArray("Q", count)
        self._alone = RawArray("d", rounds)
        self._begins = RawArray("d", count * rounds)
        self._ends = RawArray("d", count * rounds)

    def run(self, index: int, work: Work) -> None:
        """All rounds of one worker."""
        for turn in range(self.rounds):
            self._wait_for_all(index, 2 * turn + 1)
            if turn % self.count == index:
                self._alone[turn] = _timed(work)
            self._wait_for_all(index, 2 * turn + 2)
            self._begins[turn * self.count + index] = time.perf_counter_ns()
            work()
            self._ends[turn * self.count + index] = time.perf_counter_ns()

    def _wait_for_all(self, index: int, step: int) -> None:
        """Look again and again, less often where many do, since each look of a thread takes the GIL."""
        self._arrived[index] = step
        while min(self._arrived) < step:
            time.sleep(_GATE_S * max(1.0, self.count / _LOOKERS))

    def speedups(self) -> list[float]:
        """One a round."""
        found = []
        for turn in range(self.rounds):
            own = slice(turn * self.count, (turn + 1) * self.count)
            together_ns = max(self._ends[own]) - min(self._begins[own])
            found.append(self._alone[turn] * self.count / together_ns)
        return found


class Job:
    """One worker of a run: pinned, it does its task in every round, or again and again in every window."""

    def __init__(self, task: Task, cpu: int, rounds: Rounds | parallelism.Windows, index: int) -> None:
        self.task, self.cpu, self.rounds, self.index = task, cpu, rounds, index
        self.work: Work = task

    def __call__(self) -> None:
        """Pin and go through all rounds with the others."""
        harness.pin(self.cpu)
        self.rounds.run(self.index, self.work)


def measure(request: harness.Request) -> harness.Outcome:
    """One outcome for the model and the work that were asked for."""
    harness.pin(*request.cpus)
    model, work = request.variant["model"], request.variant["work"]
    if work not in ("python", "native"):
        raise harness.Failure(f"no work {work}")
    bench = _Bench(_together(model, work), request.cpus, in_turn=model == "asyncio_task" and work == "python")
    count = len(request.cpus)
    bench.together([Task(work, 1)] * count)
    harness.pin(request.cpus[0])
    task = Task.lasting(work, _TASK_NS)
    budget_ns = request.settings["budget_ms"] * 1e6 * _BUDGET_SHARE
    # At worst the workers take turns, after one has worked alone.
    rounds = max(_ROUNDS_MIN, min(_ROUNDS_MAX, int(budget_ns / (_TASK_NS * (count + 1)))))
    ratios = bench.speedups(task, count, rounds)
    sizes = [2**power for power in range(count.bit_length()) if 2**power < count]
    workers = [
        {"workers": float(size), "speedup_ratio": harness.median(bench.speedups(task, size, _CURVE_ROUNDS))}
        for size in sizes
    ]
    samples = {"speedup_ratio": ratios, "parallelism_ratio": bench.parallelisms(work, count)}
    harness.pin(*request.cpus)
    lengths = [
        {
            "task_ns": float(length_ns),
            "speedup_ratio": bench.plain_speedup(Task.lasting(work, length_ns), length_ns),
        }
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
    return harness.Outcome(samples, facts)


class _Bench:
    """Times tasks alone and together. `in_turn`: the workers share a thread and can't wait for each other."""

    def __init__(self, together: Together, cpus: tuple[int, ...], in_turn: bool) -> None:
        self.together = together
        self._cpus, self._in_turn = cpus, in_turn

    def speedups(self, task: Task, count: int, rounds: int) -> list[float]:
        """The speed-up by `count` workers, round by round."""
        if self._in_turn:
            return [self._in_one_thread(task, count) for _ in range(rounds)]
        shared = Rounds(count, rounds)
        self._go_through(shared, task)
        return shared.speedups()

    def parallelisms(self, work: str, count: int) -> list[float]:
        """How many of `count` workers are under way at once, window by window."""
        if not self._in_turn:
            windows = parallelism.Windows(count)
            self._go_through(windows, Task(work, _CHUNK_STEPS[work]))
            return windows.ratios()
        task, ratios = Task.lasting(work, _TASK_NS), []
        for _ in range(_IN_TURN_WINDOWS):
            tasks = parallelism.Tasks(count)
            self.together([functools.partial(tasks.run, index, task) for index in range(count)])
            ratios.append(tasks.ratio())
        return ratios

    def _go_through(self, shared: Rounds | parallelism.Windows, task: Task) -> None:
        self.together([Job(task, self._cpus[index], shared, index) for index in range(shared.count)])

    def _in_one_thread(self, task: Task, count: int) -> float:
        alone_ns = _timed(lambda: self.together([task]))
        together_ns = _timed(lambda: self.together([task] * count))
        return alone_ns * count / together_ns

    def plain_speedup(self, task: Task, length_ns: int) -> float:
        """The same with all that making the workers costs: the median of some pairs."""
        works: list[Work] = [task] * len(self._cpus)
        ratios: list[float] = []
        for _ in range(_LONG_PAIRS if length_ns > _LONG_NS else _SHORT_PAIRS):
            alone_ns = _timed(task)
            ratios.append(alone_ns * len(works) / _timed(lambda: self.together(works)))
        return harness.median(ratios)


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
