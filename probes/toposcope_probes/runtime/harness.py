"""What all runtime programs share: arguments, pinning, deadlines, clean-up, facts, and the one JSON line.

A program is called `python3 python_switch.py cpus=0,1 model=thread`, on any Python from 3.8 on, without
anything installed; so this module imports only the standard library, and the programs import it as a
neighbour in their own folder. Besides the probe's variants every program understands

    deadline_ms          after that the line says `failed: deadline` and all workers are ended
    budget_ms            about how long samples are taken (set-up comes on top)
    memory_limit_bytes   RLIMIT_AS of the program and its workers; files_limit_count: RLIMIT_NOFILE

How a program ends, and why nothing outlives it: SIGALRM (the deadline) and SIGTERM raise `Stopped` in the
main thread, which unwinds into one clean-up that kills and reaps every child; faulthandler's watchdog
thread ends a process that no longer runs Python code; and workers ask for SIGKILL when their parent dies
(PR_SET_PDEATHSIG, prctl(2)), so even SIGKILL leaves none. Shared memory loses its name before it is used.

Few imports at the top: workers made by spawn and forkserver import this file again, and are timed.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import resource
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # annotations are never evaluated here, so 3.8 reads today's forms too
    from collections.abc import Callable, Iterator
    from types import FrameType, ModuleType

_SCHEMA_VERSION = 1
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # <linux/prctl.h>
_DEADLINE_MS = 20_000
_BUDGET_MS = 200
_BACKSTOP_S = 10.0  # for the clean-up, before faulthandler ends the process
_SETTINGS = ("cpus", "deadline_ms", "budget_ms", "memory_limit_bytes", "files_limit_count")


class Unavailable(Exception):  # noqa: N818 - a finding, not an error
    """What was asked for does not exist here: the line says `not_applicable` with this reason."""


class Failure(Exception):  # noqa: N818 - the word of the contract
    """The measurement went wrong in a way that is understood: the line says `failed` with this reason."""


class Stopped(BaseException):
    """The deadline passed or SIGTERM came; derived like KeyboardInterrupt, so that nothing swallows it."""


@dataclass
class Request:
    """What the command line asked for. `cpus` are logical CPU ids; the first is the main thread's."""

    cpus: tuple[int, ...]
    variant: dict[str, str]
    settings: dict[str, int] = field(default_factory=dict)

    def rounds(self, at_least: int, at_most: int, share: float = 1.0) -> Iterator[int]:
        """Count rounds until `share` of the budget is used up; never fewer or more than given."""
        until_ns = time.perf_counter_ns() + int(self.settings["budget_ms"] * 1e6 * share)
        for count in range(at_most):
            if count >= at_least and time.perf_counter_ns() > until_ns:
                return
            yield count


@dataclass
class Outcome:
    """What was measured: samples by measure, in the order in which they were taken.

    `queues_for_cpu` says that the program's own workers wait for the CPU that its main thread runs on, so
    that run-queue delay tells nothing about the host.
    """

    samples: dict[str, list[float]]
    facts: dict[str, Any] = field(default_factory=dict)
    group: str = "all"
    queues_for_cpu: bool = True


def main(kernel: str, variants: dict[str, str], measure: Callable[[Request], Outcome]) -> None:
    """Run one program and leave the process; `variants` are its keys with their defaults."""
    import json  # before any limit is set

    faulthandler.disable()  # PYTHONFAULTHANDLER must not turn a planned SIGSEGV into a report
    status, line = 0, _blank(kernel, variants)
    try:
        request = _parse(sys.argv[1:], variants)
        line.update(cpus=list(request.cpus), variant=request.variant)
        _arm(request.settings["deadline_ms"] / 1e3)
        line.update(_attempt(request, measure))
    except Stopped as stop:
        line.update(status="failed", reason=str(stop))
        status = 128 + signal.SIGTERM if str(stop) == "terminated" else 0
    except ValueError as error:
        print(f"{kernel}: {error}", file=sys.stderr)
        status = 2
    _disarm()
    _lift_memory_limit()
    end_children()
    if status != 2:
        print(json.dumps(line), flush=True)
    os._exit(status)  # threads that hang must not keep the process, and nothing is left to be flushed


def _blank(kernel: str, variants: dict[str, str]) -> dict[str, Any]:
    return {
        "schema_version": _SCHEMA_VERSION, "kernel": kernel, "cpus": [], "node": None,
        "variant": dict(variants), "status": "failed", "reason": "", "samples": {}, "groups": [],
        "batches_kept": 0, "batches_dropped": {}, "checks": {}, "facts": interpreter_facts(),
    }  # fmt: skip


def _parse(words: list[str], variants: dict[str, str]) -> Request:
    """Raises ValueError with a sentence for people."""
    given: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not (key in variants or key in _SETTINGS):
            raise ValueError(f"{word!r} is not one of {', '.join([*variants, *_SETTINGS])}=value")
        given[key] = value
    cpus = given.pop("cpus", "") or ",".join(map(str, sorted(allowed_cpus())))
    settings = {"deadline_ms": _DEADLINE_MS, "budget_ms": _BUDGET_MS}
    settings.update({key: int(given.pop(key)) for key in _SETTINGS if key in given})
    return Request(tuple(int(cpu) for cpu in cpus.split(",")), {**variants, **given}, settings)


def _attempt(request: Request, measure: Callable[[Request], Outcome]) -> dict[str, Any]:
    """The parts of the line that the measurement fills in."""
    try:
        _set_limits(request.settings)
        pin(request.cpus[0])
        _fixed_work_ns()  # the interpreter warms up, and so does the CPU
        before_ns, begin_delay_ns = _fixed_work_ns(), run_delay_ns()
        outcome = measure(request)
        delay_ns = run_delay_ns() - begin_delay_ns
        end_children()
        pin(request.cpus[0])
        checks = {"frequency_ratio": before_ns / _fixed_work_ns()}
    except Unavailable as why:
        return {"status": "not_applicable", "reason": str(why)}
    except Failure as why:
        return {"status": "failed", "reason": str(why)}
    except MemoryError:
        return {"status": "failed", "reason": "out of memory"}
    except (OSError, RuntimeError, EOFError, ImportError) as error:
        # What the system refuses: descriptors, threads ("can't start new thread"), processes, pinning.
        return {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
    if not outcome.queues_for_cpu:
        checks["run_delay_ns"] = float(delay_ns)
    return {
        "status": "ok",
        "samples": {name: [values] for name, values in outcome.samples.items()},
        "groups": [outcome.group],
        "batches_kept": max(map(len, outcome.samples.values())),
        "checks": checks,
        "facts": {**interpreter_facts(), **outcome.facts},
    }


def _set_limits(settings: dict[str, int]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limits = {"memory_limit_bytes": resource.RLIMIT_AS, "files_limit_count": resource.RLIMIT_NOFILE}
    for key, limit in limits.items():
        if key in settings:
            hard = resource.getrlimit(limit)[1]
            soft = settings[key] if hard == resource.RLIM_INFINITY else min(settings[key], hard)
            # Memory is given back for the clean-up; the limit of files is the programs' own to respect.
            resource.setrlimit(limit, (soft, hard if limit == resource.RLIMIT_AS else soft))


def _lift_memory_limit() -> None:
    """Room for the clean-up and for saying what happened."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


# -- Ends ----------------------------------------------------------------------------------------------


def _stop(number: int, _frame: FrameType | None) -> None:
    # Raised again until the main thread has seen it: __del__ and callbacks of C code swallow exceptions.
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    raise Stopped("terminated" if number == signal.SIGTERM else "deadline")


def _arm(deadline_s: float) -> None:
    _libc().prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0)  # orphans come to us, not to init
    faulthandler.dump_traceback_later(deadline_s + _BACKSTOP_S, exit=True)
    signal.signal(signal.SIGALRM, _stop)
    signal.signal(signal.SIGTERM, _stop)
    signal.setitimer(signal.ITIMER_REAL, deadline_s)


def _disarm() -> None:
    """No more exceptions from signals: the clean-up must not be interrupted (the watchdog stays)."""
    for number in (signal.SIGALRM, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0)


def end_children() -> None:
    """Kill and reap every child, and what those leave to us: multiprocessing's helpers and their workers.

    Nothing is asked of them: a fork server that was stopped would never answer.
    """
    while True:
        for pid in _child_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _child_pids() -> list[int]:
    """The children of all our threads (/proc/PID/task/TID/children, proc(5); CONFIG_PROC_CHILDREN)."""
    lists = list(Path("/proc/self/task").glob("*/children"))
    found: list[int] = []
    for one in lists:
        with contextlib.suppress(OSError):  # the thread ended meanwhile; its children are another's now
            found += [int(pid) for pid in one.read_text("ascii").split()]
    if lists:
        return found
    own = str(os.getpid())
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if stat.read_text("utf-8", "replace").rpartition(")")[2].split()[1] == own:
                found.append(int(stat.parent.name))
    return found


def become_worker(parent_pid: int) -> None:
    """To be called first in a child: die with the parent, and of SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _libc().prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
    if parent_pid and os.getppid() != parent_pid:
        os._exit(1)  # the parent died before the request was made


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


# -- Pinning and the host ------------------------------------------------------------------------------


def allowed_cpus() -> list[int]:
    """The CPUs that the calling thread may run on, by /proc/self (PyPy has no sched_getaffinity)."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    status = Path(f"/proc/self/task/{threading.get_native_id()}/status").read_text("ascii")
    listed = next(line.split()[1] for line in status.splitlines() if line.startswith("Cpus_allowed_list"))
    spans = [part.split("-") for part in listed.split(",")]
    return [cpu for span in spans for cpu in range(int(span[0]), int(span[-1]) + 1)]


def pin(*cpus: int) -> None:
    """Let the calling thread run on these CPUs only, and make sure; raises Failure where it can't be."""
    try:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cpus)
        else:
            _set_affinity(cpus)
    except OSError as error:
        raise Failure(f"cpus {cpus} can't be used: {error.strerror}") from error
    if allowed_cpus() != sorted(cpus):
        raise Failure(f"asked for cpus {sorted(cpus)}, got {allowed_cpus()}")


def _set_affinity(cpus: tuple[int, ...]) -> None:
    words = (ctypes.c_ulong * 128)()  # sched_setaffinity(2): a bit mask, here for 8192 CPUs
    bits = 8 * ctypes.sizeof(ctypes.c_ulong)
    for cpu in cpus:
        words[cpu // bits] |= 1 << cpu % bits
    if _libc().sched_setaffinity(0, ctypes.sizeof(words), words) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def private_bytes(pid: int | None = None) -> int:
    """Memory that only this process has (Private_Clean + Private_Dirty of smaps_rollup, proc(5)).

    The kernel's own part (stack, page tables, task) is not in it; pages shared since a fork are not either.
    """
    rollup = Path(f"/proc/{pid or 'self'}/smaps_rollup").read_text("ascii")
    return sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Private_"))


def run_delay_ns() -> int:
    """Time for which the calling thread was runnable without running (second field of schedstat)."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text("ascii").split()[1])
    except (OSError, IndexError):  # CONFIG_SCHED_INFO is off
        return 0


def _fixed_work_ns() -> int:
    """The least of several timings of one and the same short loop: how fast the CPU runs now."""
    best_ns = 1 << 62
    for _ in range(60):
        begin_ns = time.perf_counter_ns()
        for _ in range(3_000):
            pass
        best_ns = min(best_ns, time.perf_counter_ns() - begin_ns)
    return best_ns


# -- Facts ---------------------------------------------------------------------------------------------


def interpreter_facts() -> dict[str, Any]:
    """Who measured: name, version, implementation, whether a GIL was there.

    A program that starts processes adds how (`start_method`), one that uses libraries their versions.
    """
    import platform
    import sysconfig

    enabled = getattr(sys, "_is_gil_enabled", None)
    return {
        "interpreter": Path(sys.executable).name,
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "gil": "enabled" if enabled is None or enabled() else "disabled",
        "free_threaded_build": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "switch_interval_ns": int(sys.getswitchinterval() * 1e9),
        "start_method": None,
        "libraries": {},
    }


def library(name: str) -> ModuleType:
    """Import an optional library; raises Unavailable where it is not installed."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise Unavailable(f"not installed: {name}") from None


def median(values: list[float]) -> float:
    """The middle value (the upper one of two)."""
    return sorted(values)[len(values) // 2]
