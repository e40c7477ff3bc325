"""Runs our cache-line kernels and c2clat in turns on one pair, and compares what they say.

    python bench/bench_c2clat.py --c2clat PATH [--kernels PATH] [--cpus 0,1] [--repeats 40] [--load COMMAND]

c2clat (https://github.com/rigtorp/c2clat, built with `g++ -O3 -DNDEBUG c2clat.cpp -pthread`) prints the
lowest of 1000 samples on one pair of lines, cut to whole nanoseconds; ours is the median over 16 lines of
each line's lowest decile. A visit of ours runs just before and one just after each c2clat run. Where the two
disagree by more than a quarter the machine changed in between (a hypervisor moves its CPUs), and the turn is
counted as `moved` and left out of the ratio: it compares two machines.

A process of ours measures the pair twice, and the second visit counts: that is what a pair of a matrix costs,
for whose first one the memory is mapped and the other end started.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

OPERATIONS = (("cacheline_cas", ("-w",)), ("cacheline_handover", ()))
DEFAULT_KERNELS = Path(__file__).resolve().parents[1] / "build" / "kernels" / "toposcope-kernels"
MOVED_RATIO = 1.25


@dataclass
class Turns:
    """What was read on one operation, model by model; times in seconds, latencies in ns."""

    ours_ns: list[float] = field(default_factory=list)
    peers_ns: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    visit_s: list[float] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    process_s: list[float] = field(default_factory=list)
    peer_s: list[float] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    moved: int = 0
    failed: int = 0


def estimate_ns(lines: Sequence[Sequence[float]]) -> float:
    """Median over the lines of each line's lowest decile."""
    return statistics.median(sorted(line)[(len(line) - 1) // 10] for line in lines)


def visit(kernels: Path, kernel: str, model: str, cpus: str, turns: Turns) -> float | None:
    """One visit of ours; None where the kernel could not measure."""
    pair = cpus.replace(",", ":")
    words = [str(kernels), kernel, f"pairs={pair},{pair}", f"model={model}"]
    begin = time.perf_counter()
    done = subprocess.run(words, capture_output=True, check=True, text=True)
    turns.process_s.append(time.perf_counter() - begin)
    first, line = map(json.loads, done.stdout.splitlines())
    if first["status"] == "ok":
        turns.first_s.append(first["checks"]["elapsed_ns"] / 1e9)
    for why, count in line["batches_dropped"].items():
        turns.dropped[why] = turns.dropped.get(why, 0) + count
    if line["status"] != "ok":
        turns.failed += 1
        return None
    turns.visit_s.append(line["checks"]["elapsed_ns"] / 1e9)
    latency_ns = estimate_ns(line["samples"]["latency_ns"])
    turns.ours_ns.append(latency_ns)
    return latency_ns


def peer(c2clat: Path, options: Sequence[str], turns: Turns) -> float:
    """One run of c2clat on the CPUs this process is bound to."""
    begin = time.perf_counter()
    done = subprocess.run([str(c2clat), *options], capture_output=True, check=True, text=True)
    turns.peer_s.append(time.perf_counter() - begin)
    latency_ns = float(done.stdout.splitlines()[1].split()[2])
    turns.peers_ns.append(latency_ns)
    return latency_ns


def take_turns(options: argparse.Namespace, kernel: str, peer_options: Sequence[str], model: str) -> Turns:
    """Ours, theirs, ours; as often as asked."""
    turns = Turns()
    for _ in range(options.repeats):
        before = visit(options.kernels, kernel, model, options.cpus, turns)
        theirs = peer(options.c2clat, peer_options, turns)
        after = visit(options.kernels, kernel, model, options.cpus, turns)
        if before is None or after is None:
            continue
        if max(before, after) > MOVED_RATIO * min(before, after):
            turns.moved += 1
        elif theirs > 0:
            turns.ratios.append((before + after) / 2 / theirs)
    return turns


def step_ratio(values: Sequence[float]) -> float:
    """Median step from one repeat to the next, relative; a machine that moves now and then hardly shows."""
    return statistics.median(abs(b - a) / a for a, b in itertools.pairwise(values))


def show(kernel: str, model: str, turns: Turns) -> None:
    quarters = statistics.quantiles(turns.ratios, n=4) if len(turns.ratios) > 1 else [float("nan")] * 3
    ours, theirs = statistics.median(turns.ours_ns), statistics.median(turns.peers_ns)
    steps = step_ratio(turns.ours_ns), step_ratio(turns.peers_ns)
    kinds = (turns.visit_s, turns.first_s, turns.process_s, turns.peer_s)
    times_ms = [1e3 * statistics.median(times) for times in kinds]
    print(f"{kernel} {model}: ratio {quarters[1]:.3f} (quartiles {quarters[0]:.3f} to {quarters[2]:.3f})")
    print(f"  turns compared {len(turns.ratios)}, moved {turns.moved}, visits failed {turns.failed}")
    print(f"  ours {ours:.2f} ns, c2clat {theirs:.0f} ns (medians); dropped batches {turns.dropped}")
    print(f"  step between repeats: ours {steps[0]:.3f}, c2clat {steps[1]:.3f}")
    shown = (
        "  time a pair: {:.2f} ms, the first of a process {:.2f} ms, the process {:.2f} ms, c2clat {:.2f} ms"
    )
    print(shown.format(*times_ms))
    print(f"  c2clat by ours: {times_ms[3] / times_ms[0]:.1f}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="our cache-line kernels against c2clat, in turns")
    parser.add_argument("--c2clat", type=Path, required=True)
    parser.add_argument("--kernels", type=Path, default=DEFAULT_KERNELS)
    parser.add_argument("--cpus", default="0,1")
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--load", default="", help="a command that runs meanwhile, e.g. 'stress-ng --cpu 2'")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    load = subprocess.Popen(shlex.split(options.load), stdout=-3, stderr=-3) if options.load else None
    os.sched_setaffinity(0, {int(cpu) for cpu in options.cpus.split(",")})
    try:
        print(f"load average before: {os.getloadavg()[0]:.2f}; load: {options.load or 'none'}")
        for kernel, peer_options in OPERATIONS:
            for model in ("thread", "process"):
                show(kernel, model, take_turns(options, kernel, peer_options, model))
    finally:
        if load is not None:
            load.terminate()
            load.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
