"""Compares memory_latency with multichase and memory_bandwidth with likwid-bench, in turns.

    python bench/bench_memory.py --multichase PATH [--likwid PATH] [--cpu 0] [--repeats 5] [--kernels PATH]

multichase (google/multichase) reads the lowest of its half-second windows; -T is set to the whole set, or it
would hide page walks. likwid-bench counts bytes as we do; its kernels have the same 16-byte instructions.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from paired import DEFAULT_KERNELS, compare, ours, text_of

CHASES = (
    ("L1, 16 KiB", "16k", "base", "l1_latency_ns", ()),
    ("L2, 128 KiB", "128k", "base", "l2_latency_ns", ()),
    ("memory, 64 MiB, 4 KiB pages", "64m", "base", "latency_ns", ()),
    ("memory, 64 MiB, huge pages", "64m", "huge", "latency_ns", ("-H",)),
)
STREAMS = (("read", "load_sse"), ("write", "store_sse"), ("copy", "copy_sse"), ("triad", "stream_sse"))


def multichase_ns(options: argparse.Namespace, size: str, more: tuple[str, ...]) -> float | None:
    words = ["taskset", "-c", str(options.cpu), str(options.multichase), "-m", size, "-s", "64", "-T", size]
    found = re.search(r"([\d.]+)", text_of([*words, "-n", "2", *more]))
    return float(found.group(1)) if found else None


def likwid_bytes_per_s(options: argparse.Namespace, kernel: str) -> float | None:
    words = [options.likwid, "-t", kernel, "-w", "S0:128MB:1", "-i", "20"]
    found = re.search(r"MByte/s:\s+([\d.]+)", text_of(words))
    return 1e6 * float(found.group(1)) if found else None


def main() -> None:
    parser = argparse.ArgumentParser(description="our memory kernels against others, in turns")
    parser.add_argument("--kernels", type=Path, default=DEFAULT_KERNELS)
    parser.add_argument("--multichase", type=Path, required=True)
    parser.add_argument("--likwid", default="likwid-bench", help="it chooses CPU 0 of socket 0")
    parser.add_argument("--cpu", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    cpu = f"cpus={options.cpu}"
    for operation, kernel in STREAMS:
        compare(
            f"bandwidth, {operation} (bytes/s)",
            lambda o=operation: ours(
                options.kernels, ["memory_bandwidth", cpu, f"operation={o}"], "bandwidth_bytes_per_s"
            ),
            lambda k=kernel: likwid_bytes_per_s(options, k),
            options.repeats,
        )
    for label, size, pages, measure, more in CHASES:
        compare(
            f"{label} (ns)",
            lambda p=pages, m=measure: ours(options.kernels, ["memory_latency", cpu, f"pages={p}"], m),
            lambda s=size, w=more: multichase_ns(options, s, w),
            options.repeats,
        )


if __name__ == "__main__":
    main()
