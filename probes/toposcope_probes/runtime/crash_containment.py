"""Who survives when one worker crashes, and how long until all of them work again.

    python3 crash_containment.py cpus=0,1 model=thread|process|asyncio_task

A service of four workers, each showing every 2 ms that it lives. One is told to crash, by the signal that a
wild pointer would bring: SIGSEGV, which it sends to itself. A real fault would leave a line in the kernel's
log; a signal that a process raises doesn't. No core is written either: RLIMIT_CORE is 0 and the process is
not dumpable (prctl(2), core(5)), so that no pipe in core_pattern is started.

`survivors_ratio`: share of the other three that still showed life after the crash. `recovery_ns`: from the
order to crash until all four live again, when the supervisor restarts what has died as soon as it knows: the
one process, or the whole process with all its threads or tasks. Nothing is dropped.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import ForkProcess

    from toposcope_probes.runtime import harness
else:  # run as a file: the neighbour in its own folder
    import harness

_WORKER_COUNT = 4
_BEAT_S = 0.002
_LISTEN_S = 0.03  # how long survivors have to show themselves: fifteen beats
_PATIENCE_S = 5.0
_ROUNDS_MIN, _ROUNDS_MAX = 8, 40
_PR_SET_DUMPABLE = 4  # <linux/prctl.h>


def measure(request: harness.Request) -> harness.Outcome:
    """One outcome for the model that was asked for."""
    harness.pin(*request.cpus)
    model = request.variant["model"]
    if model not in ("process", *_WORKERS_IN_ONE):
        raise harness.Failure(f"no model {model}")
    if model == "asyncio_task":
        harness.library("asyncio")  # imported before the forks, as in a service that has been running
    service = _Service(model)
    survivors: list[float] = []
    recoveries: list[float] = []
    for _ in request.rounds(_ROUNDS_MIN, _ROUNDS_MAX):
        service.crash()
        alive = service.beating(_LISTEN_S) - {0}
        survivors.append(len(alive) / (_WORKER_COUNT - 1))
        service.restart()
        begin_ns = time.perf_counter_ns()
        service.crash()
        service.restart()
        recoveries.append(float(time.perf_counter_ns() - begin_ns))
    facts = {"workers": _WORKER_COUNT, "signal": "SIGSEGV", "start_method": "fork"}
    return harness.Outcome({"survivors_ratio": survivors, "recovery_ns": recoveries}, facts)


class _Service:
    """The workers and their supervisor's view: a pipe into which each writes its number."""

    def __init__(self, model: str) -> None:
        import multiprocessing

        self._model = model
        self._context = multiprocessing.get_context("fork")
        self._beats, self._beat = os.pipe()
        os.set_blocking(self._beats, False)
        self._processes: dict[int, ForkProcess] = {}
        self.restart()

    def restart(self) -> None:
        """Start what is not running, and wait until all workers show life."""
        self._order = self._context.RawValue(ctypes.c_bool, False)
        alone = self._model == "process"
        for number in range(_WORKER_COUNT if alone else 1):
            if number not in self._processes:
                numbers = (number,) if alone else tuple(range(_WORKER_COUNT))
                run = _beat_alone if alone else _WORKERS_IN_ONE[self._model]
                process = self._context.Process(
                    target=_work, args=(os.getpid(), run, self._beat, numbers, self._order)
                )
                process.start()
                self._processes[number] = process
        seen: set[int] = set()
        until_s = time.monotonic() + _PATIENCE_S
        while len(seen) < _WORKER_COUNT:
            seen |= self.beating(_BEAT_S, enough=_WORKER_COUNT - len(seen))
            if time.monotonic() > until_s:
                raise harness.Failure("the service didn't come back")

    def crash(self) -> None:
        """Order worker 0 to crash, wait until its process is gone, and forget the beats until then."""
        self._order.value = True
        process = self._processes.pop(0)
        process.join(_PATIENCE_S)
        if process.exitcode != -signal.SIGSEGV:
            raise harness.Failure(f"the worker that was to crash ended with {process.exitcode}")
        process.close()
        self._drain()

    def beating(self, duration_s: float, enough: int = _WORKER_COUNT) -> set[int]:
        """The workers that show life within that time; back earlier when that many have."""
        seen: set[int] = set()
        until_s = time.monotonic() + duration_s
        while len(seen) < enough and (left_s := until_s - time.monotonic()) > 0:
            if select.select([self._beats], [], [], left_s)[0]:
                seen |= set(self._drain())
        return seen

    def _drain(self) -> bytes:
        try:
            return os.read(self._beats, 1 << 16)
        except BlockingIOError:
            return b""


# -- The workers ---------------------------------------------------------------------------------------


def _work(
    parent_pid: int, run: Callable[..., None], beat: int, numbers: tuple[int, ...], order: ctypes.c_bool
) -> None:
    harness.become_worker(parent_pid)
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    run(beat, numbers, order)


def _beat_alone(beat: int, numbers: tuple[int, ...], order: ctypes.c_bool) -> None:
    while True:
        _one_beat(beat, numbers[0], order)
        time.sleep(_BEAT_S)


def _one_beat(beat: int, number: int, order: ctypes.c_bool) -> None:
    if number == 0 and order.value:
        signal.raise_signal(signal.SIGSEGV)
    os.write(beat, bytes([number]))


def _beat_in_threads(beat: int, numbers: tuple[int, ...], order: ctypes.c_bool) -> None:
    threads = [threading.Thread(target=_beat_alone, args=(beat, (number,), order)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _beat_in_tasks(beat: int, numbers: tuple[int, ...], order: ctypes.c_bool) -> None:
    import asyncio

    async def worker(number: int) -> None:
        while True:
            _one_beat(beat, number, order)
            await asyncio.sleep(_BEAT_S)

    async def everyone() -> None:
        await asyncio.gather(*map(worker, numbers))

    asyncio.run(everyone())


_WORKERS_IN_ONE: dict[str, Callable[..., None]] = {
    "thread": _beat_in_threads,
    "asyncio_task": _beat_in_tasks,
}

if __name__ == "__main__":
    harness.main("crash_containment", {"model": "process"}, measure)
