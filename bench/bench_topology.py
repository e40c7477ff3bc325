"""How long discovery takes: against lstopo on a capture, and over synthetic machines of 2 to 1024 CPUs.

    bench_topology.py [--capture DIR] [--repeats 15] [--sizes 2,8,32,128,512,1024]

The first part runs discovery in this process and `lstopo-no-graphics` (hwloc's, the peer that everyone
has) as a whole process on the same capture, in turns, page cache warm, and prints medians of wall time and
their ratio. The second makes two-package SMT machines with the generator of tests/machines, and prints the
time a CPU: a flat last column is linear growth.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "daemon"), str(Path(__file__).parents[1] / "tests")]

from machines.generate import Layout, write_machine  # noqa: E402
from toposcope.topology.discover import discover  # noqa: E402
from toposcope.topology.sysfs import Root  # noqa: E402


@dataclass(frozen=True)
class Cost:
    """One run: wall time, and CPU time of this process and its children, which other work disturbs less."""

    wall_ms: float
    cpu_ms: float


def _cpu_s() -> float:
    """CPU seconds of this process and its ended children, finer than os.times."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def cost(work: Callable[[], object]) -> Cost:
    begin_s, cpu_before_s = time.perf_counter(), _cpu_s()
    work()
    return Cost((time.perf_counter() - begin_s) * 1e3, (_cpu_s() - cpu_before_s) * 1e3)


def cost_of_many(work: Callable[[], object], repeats: int) -> Cost:
    """The medians of wall and CPU time; one run before them warms up."""
    runs = [cost(work) for _ in range(repeats + 1)][1:]
    return Cost(statistics.median(run.wall_ms for run in runs), statistics.median(run.cpu_ms for run in runs))


def lstopo(capture: Path) -> None:
    environment = os.environ | {
        "HWLOC_FSROOT": str(capture),
        "HWLOC_THISSYSTEM": "0",
        "HWLOC_COMPONENTS": "-x86",
    }
    command = ["lstopo-no-graphics", "--of", "console"]
    subprocess.run(command, env=environment, check=True, capture_output=True)


def quartiles(times_ms: list[float]) -> str:
    low, middle, high = statistics.quantiles(times_ms, n=4)
    return f"median {middle:.1f} ms (quartiles {low:.1f} to {high:.1f})"


def against_lstopo(capture: Path, repeats: int) -> None:
    # In turns, so that both see the same disturbances; the first round warms up.
    runs = [
        (cost(partial(_discover_below, capture)), cost(partial(lstopo, capture))) for _ in range(repeats + 1)
    ]
    ours, theirs = (list(costs) for costs in zip(*runs[1:], strict=True))
    print(f"{capture.name}, {len(discover(Root(capture)).online_cpus)} CPUs")
    for name, costs in (("discovery", ours), ("lstopo-no-graphics", theirs)):
        cpu_ms = statistics.median(each.cpu_ms for each in costs)
        print(f"  {name}: wall {quartiles([each.wall_ms for each in costs])}, CPU median {cpu_ms:.1f} ms")
    ratio = statistics.median(each.wall_ms for each in ours) / statistics.median(
        each.wall_ms for each in theirs
    )
    print(f"  ratio of the wall medians {ratio:.2f}")


def _discover_below(path: Path | str) -> object:
    return discover(Root(path))


def growth(sizes: list[int], repeats: int) -> None:
    print("synthetic, two packages with SMT: CPUs, wall ms, CPU ms, CPU µs a CPU")
    for size in sizes:
        threads = 2 if size > 2 else 1
        layout = Layout(packages=2, cores=max(1, size // 2 // threads), threads=threads, has_caches=True)
        with tempfile.TemporaryDirectory() as scratch:
            write_machine(Path(scratch), layout)
            spent = cost_of_many(partial(_discover_below, scratch), repeats)
        print(f"  {size:5d} {spent.wall_ms:8.2f} {spent.cpu_ms:8.2f} {spent.cpu_ms / size * 1e3:7.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--capture", type=Path, help="an unpacked capture; left out: only the second part")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--sizes", type=lambda text: [int(word) for word in text.split(",")],
                        default=[2, 8, 32, 128, 512, 1024])  # fmt: skip
    options = parser.parse_args()
    if options.capture:
        against_lstopo(options.capture, options.repeats)
    growth(options.sizes, options.repeats)


if __name__ == "__main__":
    main()
