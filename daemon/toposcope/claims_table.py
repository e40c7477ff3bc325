"""Which measurements each claim compares, and from which ratio on it holds; data, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

NAMES: Final = (
    "thread_create_cheaper",
    "thread_memory_smaller",
    "thread_communication_faster",
    "process_crash_contained",
    "coroutine_switch_cheaper",
    "coroutines_not_parallel",
    "coroutine_not_preempted",
    "gil_threads_not_parallel",
    "native_code_escapes_gil",
    "io_coroutines_beat_threads",
    "cooperative_prefers_threads",
    "isolated_suits_processes",
    "same_package_beats_cross_package",
    "isolated_work_free_across_packages",
)

# Less than a tenth is no reason to choose one or the other, and can't be told apart on most hosts.
_NOTABLY: Final = 1.1
# For "costs nothing": it may lose less than a tenth.
_NEARLY_FREE: Final = 0.9


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: the best of the variants that match any of `variants`."""

    label: str
    variants: tuple[Mapping[str, str], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One setting in which a claim is tested.

    The ratio is `favoured` better than `other`: cost of the other by cost of the favoured, or rate of the
    favoured by rate of the other; with `difference`, favoured minus other. `control` is set where the claim
    is about running in parallel: the side that must have done so for a verdict against the claim, and the
    threshold follows from the number of workers. `core_sets`: both sides on the largest compact set, or one
    on the compact and one on the spread set of equal size (`favours_near`: the compact one is favoured).
    `beside` is another measure of both sides and its name for people: told, but not judged.
    """

    claim: str
    setting: str
    probe: str
    measure: str
    subject: str
    meaning: str
    favoured: Side
    other: Side
    threshold: float = _NOTABLY
    difference: bool = False
    control: Side | None = None
    core_sets: Literal["", "largest", "near_far"] = ""
    favours_near: bool = True
    beside: tuple[str, str] | None = None


_THREAD: Final = Side("a thread", ({"model": "thread"},))
_PROCESS: Final = Side("a process", ({"model": "process"},))
_FORKED: Final = Side("a process", ({"model": "process_fork"},))
_CREATE: Final = "Making a worker and being rid of it"
_CREATE_MEANING: Final = "the process's time by the thread's"
_MEMORY: Final = "Memory of one more worker"
_MEMORY_MEANING: Final = "the process's memory by the thread's"
_TALK: Final = "A message there and back"
_TALK_MEANING: Final = "the processes' time by the threads'"


def _scaling(model: str, work: str, label: str) -> Side:
    return Side(label, ({"model": model, "work": work},))


_PROCESSES_PYTHON: Final = _scaling("process_fork", "python", "processes")
_PROCESSES_NATIVE: Final = _scaling("process_fork", "native", "processes")


def _parallel(
    claim: str, subject: str, meaning: str, *, favoured: Side, other: Side, control: Side
) -> Comparison:
    """By how many workers are under way at once; a speed-up would also hang on the CPUs' speed."""
    return Comparison(
        claim, "Python", "python_scaling", "parallelism_ratio", subject, meaning, favoured, other,
        control=control, beside=("speedup_ratio", "speed-up"),
    )  # fmt: skip


def _io(work: str) -> Comparison:
    return Comparison(
        claim="io_coroutines_beat_threads",
        setting=f"Python, {work}, 1000 connections,",
        probe="python_io",
        measure="requests_per_s",
        subject="Answers a second from one process",
        meaning="the coroutines' rate by the threads'",
        favoured=Side("asyncio", ({"model": "asyncio", "work": work, "connections": "1000"},)),
        other=Side("threads", ({"model": "thread", "work": work, "connections": "1000"},)),
    )


def _python_workload(
    claim: str, work: str, setting: str, meaning: str, *, favoured: str, other: str, threshold: float
) -> Comparison:
    """By speed-ups, not rates: a plain loop in the same process tells how fast the CPU was just then."""
    labels = {"thread": "threads", "process_fork": "processes"}
    return Comparison(
        claim, setting, "python_workload", "speedup_ratio", "Speed-up by one worker on each CPU", meaning,
        _scaling(favoured, work, labels[favoured]), _scaling(other, work, labels[other]), threshold,
    )  # fmt: skip


COMPARISONS: Final = (
    Comparison(
        "thread_create_cheaper", "native", "spawn", "create_ns", _CREATE, _CREATE_MEANING, _THREAD, _PROCESS
    ),
    Comparison(
        "thread_create_cheaper", "Python", "python_spawn", "create_ns", _CREATE, _CREATE_MEANING,
        _THREAD, _FORKED,
    ),
    Comparison(
        "thread_memory_smaller", "native", "spawn", "memory_bytes", _MEMORY, _MEMORY_MEANING,
        _THREAD, _PROCESS,
    ),
    Comparison(
        "thread_memory_smaller", "Python", "python_spawn", "memory_bytes", _MEMORY, _MEMORY_MEANING,
        _THREAD, _FORKED,
    ),
    Comparison(
        "thread_communication_faster", "native", "ipc", "round_trip_ns", _TALK, _TALK_MEANING,
        Side(
            "threads by the memory they share",
            ({"model": "thread", "channel": "shm_ring"}, {"model": "thread", "channel": "futex"}),
        ),
        Side(
            "processes by pipe or socket",
            ({"model": "process", "channel": "pipe"}, {"model": "process", "channel": "unix"}),
        ),
    ),
    Comparison(
        "thread_communication_faster", "Python, 64 bytes,", "python_channel", "round_trip_ns", _TALK,
        _TALK_MEANING,
        Side(
            "threads by queue",
            ({"channel": "queue", "size_bytes": "64"}, {"channel": "simple_queue", "size_bytes": "64"}),
        ),
        Side(
            "processes by pipe or queue",
            ({"channel": "pipe", "size_bytes": "64"}, {"channel": "mp_queue", "size_bytes": "64"}),
        ),
    ),
    Comparison(
        "process_crash_contained", "Python", "crash_containment", "survivors_ratio",
        "Share of the other workers that outlive a crash",
        "the processes' share less the threads'",
        Side("processes", ({"model": "process"},)),
        Side("threads", ({"model": "thread"},)),
        threshold=0.5,
        difference=True,
    ),
    Comparison(
        "coroutine_switch_cheaper", "Python", "python_switch", "switch_ns", "Letting another worker go on",
        "the thread's time by the task's",
        Side("an asyncio task", ({"model": "asyncio_task"},)),
        _THREAD,
    ),
    _parallel(
        "coroutines_not_parallel", "Workers under way at once, where all want to compute",
        "the processes' number by the coroutines'",
        favoured=_PROCESSES_PYTHON,
        other=_scaling("asyncio_task", "python", "coroutines"),
        control=_PROCESSES_PYTHON,
    ),
    Comparison(
        "coroutine_not_preempted", "Python", "python_switch", "stall_ns",
        "Longest wait beside a worker that computes for 40 ms",
        "the coroutine's wait by the thread's",
        _THREAD,
        Side("a coroutine", ({"model": "asyncio_task"},)),
        threshold=2.0,
    ),
    _parallel(
        "gil_threads_not_parallel", "Workers under way at once, where all want to run Python",
        "the processes' number by the threads'",
        favoured=_PROCESSES_PYTHON,
        other=_scaling("thread", "python", "threads"),
        control=_PROCESSES_PYTHON,
    ),
    _parallel(
        "native_code_escapes_gil", "Workers under way at once, of coroutines that hand their work to threads",
        "the number with work in C by that with work in Python",
        favoured=_scaling("asyncio_task", "native", "coroutines with work in C"),
        other=_scaling("asyncio_task", "python", "coroutines with work in Python"),
        control=_PROCESSES_NATIVE,
    ),
    _io("echo"),
    _io("timer"),
    Comparison(
        "cooperative_prefers_threads", "parallel BFS", "workload_bfs", "edges_per_s",
        "Edges a second over one shared graph", "the threads' rate by the processes'",
        Side("threads", ({"model": "thread"},)), Side("processes", ({"model": "process"},)),
        core_sets="largest",
    ),
    _python_workload(
        "cooperative_prefers_threads", "bfs", "Python, parallel BFS,",
        "the threads' speed-up by the processes'",
        favoured="thread", other="process_fork", threshold=_NOTABLY,
    ),
    Comparison(
        "isolated_suits_processes", "PageRank from three sources", "workload_pagerank", "edges_per_s",
        "Edges a second with nothing shared", "the processes' rate by the threads'",
        Side("processes", ({"model": "process"},)), Side("threads", ({"model": "thread"},)),
        threshold=_NEARLY_FREE,
        core_sets="largest",
    ),
    _python_workload(
        "isolated_suits_processes", "pagerank", "Python, PageRank from three sources,",
        "the processes' speed-up by the threads'",
        favoured="process_fork", other="thread", threshold=_NEARLY_FREE,
    ),
    Comparison(
        "same_package_beats_cross_package", "parallel BFS in threads", "workload_bfs", "edges_per_s",
        "Edges a second over one shared graph", "the near CPUs' rate by the far ones'",
        Side("near CPUs", ({"model": "thread"},)), Side("far CPUs", ({"model": "thread"},)),
        core_sets="near_far",
    ),
    Comparison(
        "isolated_work_free_across_packages", "PageRank in processes", "workload_pagerank", "edges_per_s",
        "Edges a second with nothing shared", "the far CPUs' rate by the near ones'",
        Side("far CPUs", ({"model": "process"},)), Side("near CPUs", ({"model": "process"},)),
        threshold=_NEARLY_FREE,
        core_sets="near_far",
        favours_near=False,
    ),
)  # fmt: skip

# What stands beside the compared ones, for the reader: other start methods, libraries and kinds of worker.
ALSO: Final[Mapping[str, tuple[Mapping[str, str], ...]]] = {
    "python_spawn": tuple(
        {"model": model} for model in ("process_forkserver", "process_spawn", "asyncio_task", "greenlet")
    ),
    "python_switch": tuple({"model": model} for model in ("await", "gevent", "process")),
    "python_scaling": (
        {"model": "subinterpreter", "work": "python"},
        {"model": "thread", "work": "native"},
    ),
    "python_io": tuple(
        {"model": model, "work": "echo", "connections": "1000"} for model in ("uvloop", "gevent", "tornado")
    ),
    "crash_containment": ({"model": "asyncio_task"},),
    "ipc": tuple(
        {"model": model, "channel": channel}
        for model in ("process", "thread")
        for channel in ("shm_ring", "futex", "pipe")
    ),
}
