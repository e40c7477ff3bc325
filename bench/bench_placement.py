"""Leaves a daemon alone for a while, runs c2clat in between, and records what both of them saw.

    python bench/bench_placement.py record --c2clat PATH --output FILE.json [--minutes 20] [--turn-s 5]
    python bench/bench_placement.py compare FILE.json...    what a trace says, and whether both agree
    python bench/bench_placement.py calm FILE.json --output FILE.json

c2clat (https://github.com/rigtorp/c2clat) runs with -w, one line by compare-and-swap as in `cacheline_cas`,
for 20 to 100 ms at a time, under the same machine-wide measuring lock as the daemon's visits: neither spoils
the other's readings. The daemon has its default configuration and an empty store. The traces in tests/traces
were recorded this way; tests/unit/test_placement.py replays them.

`--dense` asks the daemon for visits all the time, a few a second, so that a host that keeps moving its CPUs
is seen between two moves as well. `calm` finds the longest stretch of a trace, of this program or of
bench_modes.py, in which c2clat saw no move.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "daemon"), str(ROOT / "probes")]

import msgspec  # noqa: E402

from generators.traces import Trace, TracedResult, agreement, read_trace, standing_of  # noqa: E402
from integration.daemon_process import DaemonProcess  # noqa: E402
from toposcope.measure.lock import measuring_lock  # noqa: E402
from toposcope.placement import PROBES  # noqa: E402
from toposcope.store import Store  # noqa: E402

# Two readings further apart than this are two places.
MOVED_RATIO = 1.5


async def read_peer(c2clat: Path) -> float:
    """One run on CPUs 0 and 1, in ns as it prints it: whole ones, the lowest of 1000 samples."""
    async with measuring_lock():
        program = await asyncio.create_subprocess_exec(
            "/usr/bin/taskset", "-c", "0,1", str(c2clat), "-w", stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await program.communicate()
    return float(printed.decode().splitlines()[1].split()[2])


def ask_for_visits(daemon: DaemonProcess) -> None:
    """One visit of the pair in each of the variants that decide."""
    for probe in PROBES:
        body = json.dumps({"probe": probe, "visits": 1}).encode()
        request = urllib.request.Request(
            f"{daemon.url}/api/v1/measure", body, {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=30).close()


async def watch(options: argparse.Namespace, ask: Callable[[], None]) -> list[tuple[float, float]]:
    """(time, ns) of c2clat, a reading every turn; in dense recordings with visits before each."""
    readings = []
    end_s = time.monotonic() + 60 * options.minutes
    while (begin_s := time.monotonic()) < end_s:
        if options.dense:
            ask()
        readings.append((time.time(), await read_peer(options.c2clat)))
        await asyncio.sleep(max(0.0, begin_s + options.turn_s - time.monotonic()))
    return readings


def record(options: argparse.Namespace) -> None:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="placement-")))
        daemon = stack.enter_context(DaemonProcess(folder, {"web": {"enable_lifecycle": True}}))
        begin_s = time.time()
        readings = asyncio.run(watch(options, functools.partial(ask_for_visits, daemon)))
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


def calm(options: argparse.Namespace) -> None:
    """The longest part of a trace in which c2clat saw no move, judged as if there had been no more."""
    whole = read_trace(options.file)
    stretches: list[list[tuple[float, float]]] = [[]]
    for reading in whole.peer:
        values = [latency_ns for _, latency_ns in (*stretches[-1], reading)]
        if max(values) > MOVED_RATIO * min(values):
            stretches.append([])
        stretches[-1].append(reading)
    longest = max(stretches, key=len)
    print(f"the longest of {len(stretches)} stretches: {len(longest)} readings")
    write(whole.between(longest[0][0] - 1e-6, longest[-1][0] + 1e-6), options.output)
    compare(options.output)


def write(trace: Trace, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(trace), indent=0) + b"\n")


def compare(path: Path) -> None:
    trace = read_trace(path)
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
    recording.add_argument("--dense", action="store_true")
    recording.add_argument("--turn-s", type=float, default=5.0)
    comparing = modes.add_parser("compare")
    comparing.add_argument("files", type=Path, nargs="+")
    calming = modes.add_parser("calm")
    calming.add_argument("file", type=Path)
    calming.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    if options.mode == "record":
        record(options)
    elif options.mode == "calm":
        calm(options)
    else:
        for path in options.files:
            compare(path)


if __name__ == "__main__":
    main()
