"""What a pair costs from end to end: the machinery of `toposcope matrix`, store and unfinished file included.

    python bench/bench_matrix.py [--pairs 1000] [--repeats 5]

Every pair is CPUs 0 and 1 under another name, since the price is asked for and not the latency; by turns one
way and the other, so that both ends change their CPU each time: on a larger machine one of them does. Timed
is everything from the first process to the last commit: starts of processes (128 pairs each), the measuring,
reading and judging of lines, one transaction and one append a process, and the results at the end. On two
CPUs our own work runs beside what is measured; on larger machines it has a CPU to itself.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import tempfile
import time

import psutil
from rich.console import Console

import toposcope_probes
from machines import MACHINES
from paired import DEFAULT_KERNELS
from toposcope import config
from toposcope.cli import _measuring, _partial
from toposcope.measure.plan import ProbeChoice, Task, matrix_tasks
from toposcope.results import Identity, Target
from toposcope.topology.fingerprint import fingerprint

PAIRS_A_RUN, KERNEL_RUNS = 128, 15
WAYS = ((0, 1), (1, 0))
# What issue 4 allows the whole matrix, in seconds.
LIMITS_S = {"128 CPUs": 20.0, "384 CPUs": 180.0}


def renamed_pairs(probe: str, model: str, count: int) -> list[Task]:
    """As many tasks as wanted, all about CPUs 0 and 1, between threads or processes."""
    spec = toposcope_probes.find(probe)
    assert spec is not None
    choice = ProbeChoice(spec, spec.interval_s, spec.max_age_s)
    return [
        Task(choice, Identity(probe, Target(WAYS[number % 2], core_set=f"pair{number}"), {"model": model}), 2)
        for number in range(count)
    ]


def cost_ms(tasks: list[Task]) -> tuple[float, float, float]:
    """Wall and own CPU milliseconds a pair, and the share of visits that were `ok`."""
    machine = _measuring.this_machine()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.environ["XDG_STATE_HOME"] = folder
        settings = config.Config()
        directory = config.store_directory(settings)
        begin_s, own_s = time.perf_counter(), time.process_time()
        with _partial.open_partial(
            directory, fingerprint(machine), tasks[0].spec.name, (0, 1), Console(stderr=True), afresh=False
        ) as partial:
            found, _ = _measuring.measure_now(
                machine, tasks, settings, visits=1, budget_s=None, keep=partial.keep
            )
            partial.finish()
        wall_s, own_s = time.perf_counter() - begin_s, time.process_time() - own_s
    assert len(found) == len(tasks)
    sound = sum(result.verdict == "ok" for result in found) / len(found)
    return 1e3 * wall_s / len(tasks), 1e3 * own_s / len(tasks), sound


def main() -> None:
    """Print the cost of each repeat, and what whole matrices take at the median one."""
    parser = argparse.ArgumentParser(description="the price of a pair of `toposcope matrix`, end to end")
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    for probe, model in itertools.product(("cacheline_cas", "cacheline_handover"), ("thread", "process")):
        tasks = renamed_pairs(probe, model, options.pairs)
        label, walls = f"{probe} {model}", []
        for _ in range(options.repeats):
            stolen_s, begin_s = psutil.cpu_times().steal, time.perf_counter()
            wall_ms, own_ms, sound = cost_ms(tasks)
            stolen = (psutil.cpu_times().steal - stolen_s) / (time.perf_counter() - begin_s)
            walls.append(wall_ms)
            cost = f"{wall_ms:.2f} ms a pair, {own_ms:.2f} ms of it our own CPU"
            print(f"{label}: {cost}; {sound:.1%} ok; the host took {stolen:.1%} of a CPU", flush=True)
        price_ms = statistics.median(walls)
        print(
            f"{label}: median {price_ms:.2f} ms, kernels alone {kernels_ms(probe, model):.2f} ms", flush=True
        )
        if model == "thread":
            show_whole(label, tasks[0].choice, price_ms)


def show_whole(label: str, choice: ProbeChoice, price_ms: float) -> None:
    """What the matrices take at that price a pair; they are measured between threads."""
    for name, limit_s in LIMITS_S.items():
        machine = MACHINES[name]
        pairs = len(matrix_tasks(machine, choice, machine.online_cpus))
        print(
            f"{label}: {name}, {pairs} pairs: {pairs * price_ms / 1e3:.1f} s of {limit_s:.0f} s", flush=True
        )


def kernels_ms(probe: str, model: str) -> float:
    """Wall ms a pair of the kernels' program alone, its start and end included: the median run."""
    pairs = "pairs=" + ",".join(["0:1", "1:0"] * (PAIRS_A_RUN // 2))
    command = [str(DEFAULT_KERNELS), probe, f"model={model}", pairs]
    times = []
    for _ in range(KERNEL_RUNS):
        begin_s = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.PIPE)
        times.append(1e3 * (time.perf_counter() - begin_s) / PAIRS_A_RUN)
    return statistics.median(times)


if __name__ == "__main__":
    main()
