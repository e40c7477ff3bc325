"""Compares switch, ipc and spawn with lmbench and `perf bench sched pipe`, in turns, both ends on one CPU.

    python bench/bench_os.py --lmbench DIR [--cpu 0] [--repeats 15] [--kernels PATH]

DIR holds lat_pipe, lat_ctx, lat_unix and lat_proc of lmbench. Link lat_proc without the RPC libraries, which
it has no use for: they are eight more to copy at each fork. Its `exec` starts the program /tmp/hello (make it
a copy of our kernels' program, which is what we start, or the two start different things).

One CPU, since none of these instruments pins its ends apart: let loose on two CPUs the scheduler decides
where they run, and so what is measured. lmbench looks at its clock for seconds before each measurement unless
it is told; ENOUGH is the length of its timed intervals in µs, 20 ms here.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from paired import DEFAULT_KERNELS, HEADER, compare, ours, text_of

LMBENCH_ENVIRONMENT = {"ENOUGH": "20000", "LOOP_O": "0", "TIMING_O": "0"}
TARGET = 0.25


def number_ns(options: argparse.Namespace, words: list[str], pattern: str) -> float | None:
    """The microseconds that an instrument prints, in ns."""
    found = re.search(pattern, text_of(["taskset", "-c", str(options.cpu), *words], LMBENCH_ENVIRONMENT))
    return 1e3 * float(found.group(1)) if found else None


def main() -> None:
    parser = argparse.ArgumentParser(description="our kernels of the system's primitives against others")
    parser.add_argument("--kernels", type=Path, default=DEFAULT_KERNELS)
    parser.add_argument("--lmbench", type=Path, required=True)
    parser.add_argument("--cpu", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--only", default="", help="the comparisons with this in their name")
    options = parser.parse_args()
    folder, microseconds = options.lmbench, r"([\d.]+) microseconds"
    pipe = ["ipc", "channel=pipe", "transfers=0"]
    perf = ["perf", "bench", "sched", "pipe", "-l", "5000"]
    turns = (
        ("pipe, processes, lat_pipe", [*pipe, "message_bytes=1", "model=process"], "round_trip_ns",
         [f"{folder}/lat_pipe", "-N", "3"], microseconds),
        ("pipe, processes, perf sched pipe", [*pipe, "message_bytes=4", "model=process"], "round_trip_ns",
         perf, r"([\d.]+) usecs/op"),
        ("pipe, threads, perf sched pipe -T", [*pipe, "message_bytes=4", "model=thread"], "round_trip_ns",
         [*perf, "-T"], r"([\d.]+) usecs/op"),
        ("unix socket, processes, lat_unix", ["ipc", "channel=unix", "transfers=0", "message_bytes=1",
         "model=process"], "round_trip_ns", [f"{folder}/lat_unix", "-N", "3"], microseconds),
        ("switch, processes, lat_ctx -s 0 2", ["switch", "model=process"], "switch_ns",
         [f"{folder}/lat_ctx", "-s", "0", "-N", "3", "2"], r"(?m)^2 ([\d.]+)"),
        ("fork and wait, lat_proc fork", ["spawn", "model=process"], "create_ns",
         [f"{folder}/lat_proc", "-N", "3", "fork"], microseconds),
        ("start a program, lat_proc exec", ["spawn", "model=process"], "exec_ns",
         [f"{folder}/lat_proc", "-N", "3", "exec"], microseconds),
    )  # fmt: skip
    print(HEADER, flush=True)
    for label, words, measure, peer, pattern in turns:
        if options.only not in label:
            continue
        compare(
            label,
            "µs",
            1e-3,
            lambda w=words, m=measure: ours(options.kernels, [w[0], f"cpus={options.cpu}", *w[1:]], m),
            lambda p=peer, x=pattern: number_ns(options, p, x),
            options.repeats,
            TARGET,
        )


if __name__ == "__main__":
    main()
