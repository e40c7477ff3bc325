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
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "daemon"), str(Path(__file__).parents[1] / "tests")]

from machines.generate import Layout, write_machine  # noqa: E402
from toposcope.topology.discover import discover  # noqa: E402
from toposcope.topology.sysfs import Root  # noqa: E402


def timed_ms(work: Callable[[], object]) -> float:
    begin_s = time.perf_counter()
    work()
    return (time.perf_counter() - begin_s) * 1e3


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
    pairs = [
        (timed_ms(partial(_discover_below, capture)), timed_ms(partial(lstopo, capture)))
        for _ in range(repeats + 1)
    ]
    ours, theirs = (list(times) for times in zip(*pairs[1:], strict=True))
    count = len(discover(Root(capture)).online_cpus)
    print(f"{capture.name}, {count} CPUs: discovery {quartiles(ours)}; "
          f"lstopo-no-graphics {quartiles(theirs)}; "
          f"ratio of medians {statistics.median(ours) / statistics.median(theirs):.2f}")  # fmt: skip


def _discover_below(path: Path | str) -> object:
    return discover(Root(path))


def growth(sizes: list[int], repeats: int) -> None:
    print("synthetic, two packages with SMT: CPUs, ms, µs a CPU")
    for size in sizes:
        threads = 2 if size > 2 else 1
        layout = Layout(packages=2, cores=max(1, size // 2 // threads), threads=threads, has_caches=True)
        with tempfile.TemporaryDirectory() as scratch:
            write_machine(Path(scratch), layout)
            work = partial(_discover_below, scratch)
            times_ms = [timed_ms(work) for _ in range(repeats + 1)][1:]
        print(
            f"  {size:5d} {statistics.median(times_ms):8.2f} {statistics.median(times_ms) / size * 1e3:7.1f}"
        )


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
