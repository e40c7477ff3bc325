"""Leaves a daemon alone for a while, runs c2clat in between, and records what both of them saw.

    python bench/bench_placement.py record --c2clat PATH --output FILE.json [--minutes 20] [--turn-s 5]
    python bench/bench_placement.py compare FILE.json...    what a trace says, and whether both agree
    python bench/bench_placement.py part FILE.json --from-s A --to-s B --output FILE.json

c2clat (https://github.com/rigtorp/c2clat) runs with -w, one line by compare-and-swap as in `cacheline_cas`,
for 20 to 100 ms at a time, under the same machine-wide measuring lock as the daemon's visits: neither spoils
the other's readings. The daemon has its default configuration and an empty store. The traces in tests/traces
were recorded this way; tests/unit/test_placement.py replays them.

`--awake` keeps all CPUs from going idle, by a loop each in the kernel's idle class, which gives way to all
else. Hypervisors choose a place for a virtual CPU when it wakes up: one that never sleeps hardly moves. The
daemon then sees busy CPUs, and is told to visit them all the same.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "daemon"), str(ROOT / "probes")]

import msgspec  # noqa: E402

from generators.traces import Trace, TracedResult, agreement, standing_of  # noqa: E402
from integration.daemon_process import DaemonProcess  # noqa: E402
from toposcope.measure.lock import measuring_lock  # noqa: E402
from toposcope.placement import PROBES  # noqa: E402
from toposcope.store import Store  # noqa: E402

VISITS_ON_BUSY_CPUS = {
    "probes": {name: {"interval_s": 10, "max_age_s": 10} for name in PROBES} | {"budget_ratio": 0.05}
}


async def read_peer(c2clat: Path) -> float:
    """One run on CPUs 0 and 1, in ns as it prints it: whole ones, the lowest of 1000 samples."""
    async with measuring_lock():
        program = await asyncio.create_subprocess_exec(
            "/usr/bin/taskset", "-c", "0,1", str(c2clat), "-w", stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await program.communicate()
    return float(printed.decode().splitlines()[1].split()[2])


async def watch(c2clat: Path, minutes: float, turn_s: float) -> list[tuple[float, float]]:
    """(time, ns) of c2clat, a reading every `turn_s`."""
    readings = []
    end_s = time.monotonic() + 60 * minutes
    while (begin_s := time.monotonic()) < end_s:
        readings.append((time.time(), await read_peer(c2clat)))
        await asyncio.sleep(max(0.0, begin_s + turn_s - time.monotonic()))
    return readings


@contextlib.contextmanager
def kept_awake() -> Iterator[None]:
    """A loop in the kernel's idle class (SCHED_IDLE, sched(7)) on each CPU."""
    loops = [
        subprocess.Popen(["/usr/bin/chrt", "--idle", "0", "/usr/bin/taskset", "-c", str(cpu),
                          sys.executable, "-c", "while True: pass"])
        for cpu in os.sched_getaffinity(0)
    ]  # fmt: skip
    try:
        yield
    finally:
        for each in loops:
            each.kill()
            each.wait()


def record(options: argparse.Namespace) -> None:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="placement-")))
        daemon = stack.enter_context(DaemonProcess(folder, VISITS_ON_BUSY_CPUS if options.awake else None))
        if options.awake:
            stack.enter_context(kept_awake())
        begin_s = time.time()
        readings = asyncio.run(watch(options.c2clat, options.minutes, options.turn_s))
        status, topology = daemon.json("/api/v1/status"), daemon.json("/api/v1/topology")
        daemon.stop()
        with Store(folder / "store", writer=False) as store:
            results = list(store.results(topology["fingerprint"], 100_000))
    trace = Trace(
        machine={name: topology["settings"].get(name) for name in ("cpu_model", "hypervisor", "kernel")},
        placement=status["placement"],
        placement_evidence=status["placement_evidence"],
        results=tuple(
            TracedResult(identity, measure, tuple(
                msgspec.structs.replace(visit, time_s=round(visit.time_s - begin_s, 3), checks={}, facts={})
                for visit in visits))
            for identity, measure, visits in results if identity.probe in PROBES
        ),
        peer=tuple((round(time_s - begin_s, 3), latency_ns) for time_s, latency_ns in readings),
    )  # fmt: skip
    write(trace, options.output)
    compare(options.output)


def part(options: argparse.Namespace) -> None:
    """A part of a trace, with the standing that the daemon would have had if it had seen no more."""
    whole = msgspec.json.decode(options.file.read_bytes(), type=Trace)
    write(whole.between(options.from_s, options.to_s), options.output)
    compare(options.output)


def write(trace: Trace, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(trace), indent=0) + b"\n")


def compare(path: Path) -> None:
    trace = msgspec.json.decode(path.read_bytes(), type=Trace)
    print(f"{path.name}: the daemon said {trace.placement}, a replay says {standing_of(trace).placement}")
    for pair in trace.placement_evidence["pairs"]:
        print(f"  {pair['id']}: {pair['sentence']}")
    found: dict[str, Any] = agreement(trace)
    print(json.dumps(found, indent=1))


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    modes = parser.add_subparsers(dest="mode", required=True)
    recording = modes.add_parser("record")
    recording.add_argument("--c2clat", type=Path, required=True)
    recording.add_argument("--output", type=Path, required=True)
    recording.add_argument("--minutes", type=float, default=20.0)
    recording.add_argument("--awake", action="store_true")
    recording.add_argument("--turn-s", type=float, default=5.0)
    comparing = modes.add_parser("compare")
    comparing.add_argument("files", type=Path, nargs="+")
    parting = modes.add_parser("part")
    parting.add_argument("file", type=Path)
    parting.add_argument("--from-s", type=float, required=True)
    parting.add_argument("--to-s", type=float, required=True)
    parting.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    if options.mode == "record":
        record(options)
    elif options.mode == "part":
        part(options)
    else:
        for path in options.files:
            compare(path)


if __name__ == "__main__":
    main()
