"""Watches one pair with our cache-line probes and with c2clat by turns: do both see the same modes?

    python bench/bench_modes.py --c2clat PATH --trace FILE [--cpus 0,1] [--seconds 300] [--pause-s 0]

A turn is a visit of ours as the daemon makes it (kernel, checks, verdict) and a run of c2clat, for both of
c2clat's operations. What was read goes to FILE, every n-th turn where there are too many for a small file;
tests/unit/test_mode_traces.py replays every trace in tests/traces and asserts that both agree. Build c2clat
(https://github.com/rigtorp/c2clat) with its last division done in floating point (`rtt / 2 / 100` cuts 9.9 ns
to 9, a tenth of it):

    sed -e 's/, std::chrono::nanoseconds> data/, std::chrono::duration<double, std::nano>> data/' \
        -e 's#rtt / 2 / 100#std::chrono::duration<double, std::nano>(rtt) / 200.0#' c2clat.cpp > exact.cpp
    g++ -O3 -DNDEBUG exact.cpp -o c2clat -pthread
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

import toposcope_probes
from toposcope.clock import SystemClock
from toposcope.measure import modes
from toposcope.measure.load import LoadMeter
from toposcope.measure.plan import ProbeChoice, Task
from toposcope.measure.visit import Visitor
from toposcope.results import Estimate, Identity, Target

# Each probe's words for c2clat.
OPERATIONS = {"cacheline_cas": ["-w"], "cacheline_handover": []}
Row = list[float | str]


def task_of(probe: str, cpus: tuple[int, ...]) -> Task:
    spec = toposcope_probes.find(probe)
    assert spec is not None
    choice = ProbeChoice(spec, spec.interval_s, spec.interval_s)
    return Task(choice, Identity(probe, Target(cpus), {"model": "thread"}), tier=0)


async def visit(visitor: Visitor, task: Task, begin_s: float) -> Row:
    """[seconds since the beginning, verdict, estimate, low, high]; ns, 0 where there is no estimate."""
    seen = (await visitor.visit(task)).visit
    found = seen.measures.get("latency_ns")
    numbers = [found.estimate, found.low, found.high] if found else [0.0, 0.0, 0.0]
    return [round(time.monotonic() - begin_s, 2), seen.verdict, *(round(number, 2) for number in numbers)]


def peer(c2clat: Path, words: list[str], cpus: str, begin_s: float) -> Row:
    """[seconds since the beginning, ns]."""
    command = ["taskset", "-c", cpus, str(c2clat), *words]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return [round(time.monotonic() - begin_s, 2), float(done.stdout.splitlines()[1].split()[2])]


async def watch(options: argparse.Namespace) -> dict[str, dict[str, list[Row]]]:
    cpus = tuple(int(cpu) for cpu in options.cpus.split(","))
    clock = SystemClock()
    visitor = Visitor(clock, steal_ms=LoadMeter(clock, range(max(cpus) + 1)).steal_ms)
    trace: dict[str, dict[str, list[Row]]] = {probe: {"ours": [], "c2clat": []} for probe in OPERATIONS}
    begin_s = time.monotonic()
    while time.monotonic() - begin_s < options.seconds:
        for probe, words in OPERATIONS.items():
            trace[probe]["ours"].append(await visit(visitor, task_of(probe, cpus), begin_s))
            samples = [*words, "-s", str(options.samples)]
            trace[probe]["c2clat"].append(peer(options.c2clat, samples, options.cpus, begin_s))
        await asyncio.sleep(options.pause_s)
    return trace


def describe(name: str, values: list[tuple[float, float]]) -> None:
    """The modes of (time, ns) rows, one line."""
    found = modes.find([modes.Observation(t, Estimate(v, v, v, v, v, v, 0.0)) for t, v in values])
    listed = ", ".join(f"{mode.value.estimate:.1f} ns ({mode.share:.0%})" for mode in found.modes)
    print(f"{name}: {len(values)} readings, modes {listed}; strays {found.stray_share:.0%}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="our cache-line probes and c2clat by turns on one pair")
    parser.add_argument("--c2clat", type=Path, required=True)
    parser.add_argument("--trace", type=Path, required=True)
    parser.add_argument("--cpus", default="0,1")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--pause-s", type=float, default=0, help="between two turns")
    parser.add_argument("--samples", type=int, default=1000, help="c2clat's -s")
    parser.add_argument("--turns-max", type=int, default=400)
    parser.add_argument("--machine", default="", help="a few words on the machine, kept in the trace")
    options = parser.parse_args()
    trace = asyncio.run(watch(options))
    for probe, rows in trace.items():
        usable = [(row[0], row[2]) for row in rows["ours"] if row[1] in ("ok", "noisy")]
        describe(f"{probe}, ours", usable)  # type: ignore[arg-type]
        describe(f"{probe}, c2clat", [(row[0], row[1]) for row in rows["c2clat"]])  # type: ignore[misc]
    every = 1 + len(trace["cacheline_cas"]["ours"]) // options.turns_max
    kept = {p: {side: seen[::every] for side, seen in rows.items()} for p, rows in trace.items()}
    columns = {"ours": ["time_s", "verdict", "estimate_ns", "low_ns", "high_ns"], "c2clat": ["time_s", "ns"]}
    document = {"machine": options.machine, "columns": columns, "every_nth_turn": every, "operations": kept}
    text = json.dumps(document, separators=(",", ":")).replace("],[", "],\n[")
    options.trace.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
