"""How long discovery keeps an event loop waiting: a tick every millisecond beside a discovery in the worker.

    python bench/bench_loop_lag.py [--sysroot DIR] [--repeats 20]

Prints the latest tick without discovery and with it. The daemon discovers in a worker thread; what is left is
the interpreter's lock, which a thread gives back every 5 ms and at each read.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from toposcope.topology.discover import discover
from toposcope.topology.sysfs import Root


async def latest_tick_ms(work: asyncio.Future[object]) -> float:
    """The longest lateness of a 1 ms tick until `work` is done, in ms."""
    latest = 0.0
    while not work.done():
        begin_s = time.monotonic()
        await asyncio.sleep(0.001)
        latest = max(latest, (time.monotonic() - begin_s - 0.001) * 1e3)
    return latest


async def measure(sysroot: Path, repeats: int) -> None:
    """Print both figures over all repeats."""
    loop = asyncio.get_running_loop()
    idle, busy, durations = [], [], []
    with ThreadPoolExecutor(1) as worker:
        for _ in range(repeats):
            begin_s = time.monotonic()
            busy.append(await latest_tick_ms(loop.run_in_executor(worker, lambda: discover(Root(sysroot)))))
            durations.append(time.monotonic() - begin_s)
            idle.append(await latest_tick_ms(loop.run_in_executor(worker, time.sleep, durations[-1])))
    print(f"{repeats} discoveries of {sorted(durations)[repeats // 2] * 1e3:.0f} ms (median)")
    for beside, ticks in (("an idle worker", idle), ("a discovery", busy)):
        median, worst = sorted(ticks)[repeats // 2], max(ticks)
        print(f"latest tick beside {beside}: median {median:.1f}, worst {worst:.1f} ms")


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sysroot", type=Path, default=Path("/"))
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    asyncio.run(measure(options.sysroot, options.repeats))


if __name__ == "__main__":
    main()
