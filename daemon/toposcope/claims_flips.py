"""Where an answer flips: message size, task length, number of connections; pure.

A claim says which is better; people choose by where it stops being so. Each answer is a dict for the claim's
numbers, by interpreter, with the figures, with None where the flip was not seen within what was measured, and
with sentences for people under `says`.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final

from toposcope.results import Identity, Visit
from toposcope.units import format_bytes, format_ns

# Two costs that differ by less than this count as equal.
_EQUAL_RATIO: Final = 1.1
_THREAD_CHANNELS: Final = ("queue", "simple_queue")
_PROCESS_CHANNELS: Final = ("mp_queue", "pipe", "shared_memory")
_MADE_FOR_IT: Final = {
    ("thread", "native"): "Threads made for work in C",
    ("thread", "python"): "Threads made for work in Python",
    ("process_fork", "native"): "Processes made for work in C",
    ("process_fork", "python"): "Processes made for work in Python",
}

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
    """Length of a task from which workers made for it pay for themselves."""
    found: dict[str, Any] = {}
    says: list[str] = []
    for (model, work), who in _MADE_FOR_IT.items():
        for identity, visits in measured:
            told = [visit.facts for visit in visits if "pays_from_ns" in visit.facts]
            if told and identity.probe == "python_scaling" and _is(identity, model=model, work=work):
                pays_ns = _middle([facts["pays_from_ns"] for facts in told])
                found[f"{model} {work} pays_from_ns"] = pays_ns
                found[f"{model} {work} speedup_ratio by task_ns"] = _speedups(told)
                longest_ns = max(point["task_ns"] for facts in told for point in facts["length_curve"])
                when = f"at no length of a task up to {format_ns(longest_ns)}"
                says.append(
                    f"{who} pay {when if pays_ns is None else f'from tasks of {format_ns(pays_ns)} on'}."
                )
    return {**found, "says": says} if found else {}


def _speedups(told: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The median speed-up by length of the task in ns."""
    by_length: dict[float, list[float]] = {}
    for facts in told:
        for point in facts["length_curve"]:
            by_length.setdefault(point["task_ns"], []).append(point["speedup_ratio"])
    return {f"{length_ns:.0f}": statistics.median(ratios) for length_ns, ratios in sorted(by_length.items())}


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
    equal = [size for size in sizes if process[size][0] <= thread[size][0] * _EQUAL_RATIO]
    kept_up = ", ".join(map(format_bytes, equal))
    says = f"Processes keep up with threads at messages of {kept_up}." if equal else (
        f"Processes keep up with threads at no size of a message from {format_bytes(sizes[0])} "
        f"to {format_bytes(sizes[-1])}."
    )  # fmt: skip
    return {
        "round_trip_ns": {
            size: {
                "threads": thread[size][0], "threads by": thread[size][1],
                "processes": process[size][0], "processes by": process[size][1],
            }
            for size in sizes
        },
        "processes_keep_up_at_bytes": equal,
        "threads_faster_from_bytes": _from_there_on(sizes, [size for size in sizes if size not in equal]),
        "says": [says, *(_said_of_size(size, thread[size], process[size]) for size in (sizes[0], sizes[-1]))],
    }  # fmt: skip


def _said_of_size(size: int, thread: tuple[float, str], process: tuple[float, str]) -> str:
    return (
        f"{format_bytes(size)} there and back: threads {format_ns(thread[0])} by {thread[1]}, "
        f"processes {format_ns(process[0])} by {process[1]}."
    )


def _by_size(measured: Measured, channels: Sequence[str]) -> dict[int, tuple[float, str]]:
    """The least round trip by message size, with its channel."""
    best: dict[int, tuple[float, str]] = {}
    for identity, visits in measured:
        if identity.probe == "python_channel" and identity.variant.get("channel") in channels:
            value = _median(visits, "round_trip_ns")
            size = int(identity.variant["size_bytes"])
            if value is not None:
                best[size] = min((value, identity.variant["channel"]), best.get(size, (value, "~")))
    return best


def _connections(measured: Measured) -> dict[str, Any]:
    """Number of connections from which on coroutines (asyncio) serve more than threads, by kind of work."""
    found: dict[str, Any] = {}
    says: list[str] = []
    for work, words in (("echo", "at once"), ("timer", "after 100 ms")):
        rates = {model: _by_connections(measured, model, work) for model in ("asyncio", "thread")}
        counts = sorted(rates["asyncio"].keys() & rates["thread"].keys())
        if counts:
            better = [c for c in counts if rates["asyncio"][c] > rates["thread"][c] * _EQUAL_RATIO]
            first = _from_there_on(counts, better)
            found[f"{work} requests_per_s"] = {
                count: {model: rate[count] for model, rate in rates.items()} for count in counts
            }
            found[f"{work} coroutines_win_from_connections"] = first
            shown = first or counts[-1]
            where = f"from {first} connections on" if first else f"at no number of connections up to {shown}"
            says.append(
                f"Where it answers {words}, asyncio answers more than threads {where} ({shown} connections: "
                f"{rates['asyncio'][shown]:,.0f}/s against {rates['thread'][shown]:,.0f}/s)."
            )
    return {**found, "says": says} if found else {}


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
