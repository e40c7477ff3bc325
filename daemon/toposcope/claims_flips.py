"""Where an answer flips: message size, task length, number of connections; pure.

A claim says which is better; people choose by where it stops being so. Each answer is a dict for the claim's
numbers, by interpreter, with None where the flip was not seen within what was measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final

from toposcope.results import Identity, Visit

# Two costs that differ by less than this count as equal.
_EQUAL_RATIO: Final = 1.1
_THREAD_CHANNELS: Final = ("queue", "simple_queue")
_PROCESS_CHANNELS: Final = ("mp_queue", "pipe", "shared_memory")

Measured = Sequence[tuple[Identity, Sequence[Visit]]]


def flips(claim: str, measured: Measured) -> dict[str, dict[str, Any]]:
    """By interpreter what there is to say about that claim; empty where it has no flip."""
    answers = {
        "thread_create_cheaper": _task_lengths,
        "thread_communication_faster": _message_sizes,
        "io_coroutines_beat_threads": _connections,
    }
    if claim not in answers:
        return {}
    interpreters = sorted({i.target.interpreter for i, _ in measured if i.target.interpreter is not None})
    found = {
        name: answers[claim]([(i, visits) for i, visits in measured if i.target.interpreter == name])
        for name in interpreters
    }
    return {name: answer for name, answer in found.items() if answer}


def _task_lengths(measured: Measured) -> dict[str, Any]:
    """Length of a task from which a thread (work in C) and a process (work in Python) pay for themselves."""
    found: dict[str, Any] = {}
    for model, work in (("thread", "native"), ("thread", "python"), ("process_fork", "python")):
        for identity, visits in measured:
            if identity.probe == "python_scaling" and _is(identity, model=model, work=work):
                told = [visit.facts["pays_from_ns"] for visit in visits if "pays_from_ns" in visit.facts]
                if told:
                    found[f"{model} {work} pays_from_ns"] = _middle(told)
    return found


def _middle(values: Sequence[float | None]) -> float | None:
    """The median with None as the largest value."""
    ranked = sorted(values, key=lambda value: float("inf") if value is None else value)
    return ranked[len(ranked) // 2]


def _message_sizes(measured: Measured) -> dict[str, Any]:
    """Size from which on processes are as fast as threads by their best channels, and the other way round."""
    thread = _by_size(measured, _THREAD_CHANNELS)
    process = _by_size(measured, _PROCESS_CHANNELS)
    sizes = sorted(thread.keys() & process.keys())
    if not sizes:
        return {}
    equal = [size for size in sizes if process[size] <= thread[size] * _EQUAL_RATIO]
    return {
        "round_trip_ns": {size: {"threads": thread[size], "processes": process[size]} for size in sizes},
        "processes_keep_up_at_bytes": equal,
        "threads_faster_from_bytes": _from_there_on(sizes, [size for size in sizes if size not in equal]),
    }


def _by_size(measured: Measured, channels: Sequence[str]) -> dict[int, float]:
    best: dict[int, float] = {}
    for identity, visits in measured:
        if identity.probe == "python_channel" and identity.variant.get("channel") in channels:
            value = _median(visits, "round_trip_ns")
            size = int(identity.variant["size_bytes"])
            if value is not None:
                best[size] = min(value, best.get(size, value))
    return best


def _connections(measured: Measured) -> dict[str, Any]:
    """Number of connections from which on coroutines (asyncio) serve more than threads, by kind of work."""
    found: dict[str, Any] = {}
    for work in ("echo", "timer"):
        rates = {model: _by_connections(measured, model, work) for model in ("asyncio", "thread")}
        counts = sorted(rates["asyncio"].keys() & rates["thread"].keys())
        if counts:
            better = [c for c in counts if rates["asyncio"][c] > rates["thread"][c] * _EQUAL_RATIO]
            found[f"{work} requests_per_s"] = {
                count: {model: rate[count] for model, rate in rates.items()} for count in counts
            }
            found[f"{work} coroutines_win_from_connections"] = _from_there_on(counts, better)
    return found


def _by_connections(measured: Measured, model: str, work: str) -> dict[int, float]:
    found: dict[int, float] = {}
    for identity, visits in measured:
        if identity.probe == "python_io" and _is(identity, model=model, work=work):
            value = _median(visits, "requests_per_s")
            if value is not None:
                found[int(identity.variant["connections"])] = value
    return found


def _from_there_on(steps: Sequence[int], holds: Sequence[int]) -> int | None:
    """The first step from which on it holds at every one, or None."""
    first: int | None = None
    for step in reversed(steps):
        if step not in holds:
            break
        first = step
    return first


def _is(identity: Identity, **wanted: str) -> bool:
    return all(identity.variant.get(key) == value for key, value in wanted.items())


def _median(visits: Sequence[Visit], measure: str) -> float | None:
    values = [v.measures[measure].estimate for v in visits
              if v.verdict in ("ok", "noisy") and measure in v.measures]  # fmt: skip
    return statistics.median(values) if values else None


def wanted_variants() -> Mapping[str, tuple[Mapping[str, str], ...]]:
    """By probe the variants that only these answers need: one visit each is enough."""
    sizes = ("64", "4096", "65536", "1048576")
    channels = (*_THREAD_CHANNELS, *_PROCESS_CHANNELS, "asyncio_queue")
    return {
        "python_channel": tuple({"channel": c, "size_bytes": s} for s in sizes for c in channels),
        "python_io": tuple(
            {"model": model, "work": work, "connections": count}
            for work in ("echo", "timer")
            for count in ("10", "100", "5000")
            for model in ("thread", "asyncio")
        ),
    }
