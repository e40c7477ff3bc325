"""What binding a server to one CPU gains or loses, window by window in turns.

    python3 python_affinity.py cpus=0,1 model=thread|asyncio

A server process (python_io's: a blocking thread for each connection, or asyncio's streams) answers messages
of 64 bytes on 50 connections over loopback, all of them under way. It may use all of the CPUs in one window
and only one in the next, by sched_setaffinity(2) on each of its threads; the one CPU is another in each
round, and the order within a round changes. The client, this process, may use all of them throughout:
nobody places the other end of a connection.

`one_cpu_gain_ratio`: answers a second on one CPU by those on all, of two windows next to each other.
`requests_per_s`: the rate on all. Threads of an interpreter with a GIL run one at a time, and where the next
one is woken on another CPU that costs more than where it is already; what can run in parallel (no GIL, or
code in C that frees it) loses by being bound. No batch is dropped: waiting and waking are what is measured.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toposcope_probes.runtime import harness, python_io

else:  # run as a file: the neighbours in its own folder
    import harness
    import python_io

_CONNECTIONS = 50
# Threads on several CPUs get in each other's way more and more for some 50 ms after they were let loose.
_SETTLE_NS, _WINDOW_NS = 40_000_000, 50_000_000
_ROUNDS_MIN, _ROUNDS_MAX = 6, 200


def measure(request: harness.Request) -> harness.Outcome:
    """One outcome for the model that was asked for."""
    model = request.variant["model"]
    if model not in ("thread", "asyncio"):
        raise harness.Failure(f"no model {model}")
    if len(set(request.cpus)) < 2:
        raise harness.Unavailable("one CPU: there is nothing to compare it with")
    if not hasattr(os, "sched_setaffinity"):
        raise harness.Unavailable("this interpreter has no sched_setaffinity")
    pid, port = python_io.start_server(model, 0.0, request.cpus[0])
    harness.pin(*request.cpus)
    client = python_io.Client(port)
    client.connect(_CONNECTIONS)
    client.begin(_CONNECTIONS)
    gains: list[float] = []
    rates: list[float] = []
    for number in request.rounds(_ROUNDS_MIN, _ROUNDS_MAX):
        one = [request.cpus[number % len(request.cpus)]]
        in_turns = (one, request.cpus) if number % 4 < 2 else (request.cpus, one)
        rate = {len(cpus): _rate(client, pid, cpus) for cpus in in_turns}
        gains.append(rate[1] / rate[len(request.cpus)])
        rates.append(rate[len(request.cpus)])
    client.close()
    harness.end_children()
    return harness.Outcome({"one_cpu_gain_ratio": gains, "requests_per_s": rates}, {"start_method": "fork"})


def _rate(client: python_io.Client, pid: int, cpus: Sequence[int]) -> float:
    """Answers a second of a server that may use these CPUs."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # a thread that ends by itself
            os.sched_setaffinity(int(task.name), cpus)
    client.window(_SETTLE_NS)
    begin_ns = time.perf_counter_ns()
    answers = len(client.window(_WINDOW_NS))
    return answers * 1e9 / (time.perf_counter_ns() - begin_ns)


if __name__ == "__main__":
    harness.main("python_affinity", {"model": "thread"}, measure)
