"""What a pair costs here, and how long the pairs of larger machines take at that price.

    python bench/bench_pairs.py [--kernels PATH] [--repeats 20]

Measures the wall time of one process that visits PAIRS_A_PROCESS pairs (as `matrix` does), divides, and
counts pairs by the planner's own plan: representatives (tier 0) with all variants of both cache-line probes,
and the whole matrix. Processes are started one after the other. Pairs that lie further apart take longer than
the pair here: a batch is 6 µs whatever it holds, but the meeting before it takes some round trips.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import time
from pathlib import Path

import toposcope_probes
from machines import MACHINES
from paired import DEFAULT_KERNELS
from toposcope.measure.plan import ProbeChoice, all_pairs, plan
from toposcope.measure.session import batches
from toposcope.topology.model import Machine

PAIRS_A_PROCESS = 64
PROBES = ("cacheline_cas", "cacheline_handover")


def pair_ms(kernels: Path, probe: str, model: str, repeats: int) -> list[float]:
    """Wall time a pair, process start and end included, one value a process."""
    pairs = "pairs=" + ",".join(["0:1"] * PAIRS_A_PROCESS)
    found = []
    for _ in range(repeats):
        begin_s = time.perf_counter()
        words = [str(kernels), probe, pairs, f"model={model}"]
        done = subprocess.run(words, capture_output=True, check=True, text=True)
        if done.stdout.count('"status":"ok"') == PAIRS_A_PROCESS:
            found.append(1e3 * (time.perf_counter() - begin_s) / PAIRS_A_PROCESS)
    return found


def show_plan(label: str, machine: Machine, cost_ms: dict[tuple[str, str], float], start_ms: float) -> None:
    choices = []
    for name in PROBES:
        spec = toposcope_probes.find(name)
        assert spec is not None
        choices.append(ProbeChoice(spec, spec.interval_s, spec.max_age_s))
    tasks = [task for task in plan(machine, choices, cpus=machine.online_cpus) if task.tier == 0]
    first = list(all_pairs(machine, choices[0], machine.online_cpus))
    matrix = [task for task in first if task.identity.variant == first[0].identity.variant]
    for what, chosen in (("representatives", tasks), ("whole matrix", matrix)):
        cost_s = sum(cost_ms[task.spec.name, task.identity.variant["model"]] for task in chosen) / 1e3
        starts_s = start_ms * sum(1 for _ in batches(chosen)) / 1e3
        print(f"| {label} | {what} | {len(chosen)} | {cost_s + starts_s:.2f} s |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="the price of a pair, and of all pairs of larger machines")
    parser.add_argument("--kernels", type=Path, default=DEFAULT_KERNELS)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    cost_ms: dict[tuple[str, str], float] = {}
    print("| probe | a pair, ms: median (10th to 90th percentile) | processes |\n|---|---|---|")
    for probe in PROBES:
        for model in ("thread", "process"):
            found = pair_ms(options.kernels, probe, model, options.repeats)
            cost_ms[probe, model] = statistics.median(found)
            low, *_, high = statistics.quantiles(found, n=10)
            row = f"{cost_ms[probe, model]:.2f} ({low:.2f} to {high:.2f}) | {len(found)}"
            print(f"| {probe} {model} | {row} |", flush=True)
    print("\n| machine | pairs | visits | time |\n|---|---|---|---|")
    for label, machine in MACHINES.items():
        show_plan(label, machine, cost_ms, start_ms=1.0)


if __name__ == "__main__":
    main()
