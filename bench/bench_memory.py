"""Compares memory_latency with multichase and memory_bandwidth with likwid-bench, in turns.

    python bench/bench_memory.py --multichase PATH [--likwid PATH] [--cpu 0] [--repeats 9] [--kernels PATH]

multichase (google/multichase) reads the lowest of its half-second windows; -T is set to the whole set, or it
would hide page walks. likwid-bench counts bytes as we do, and its kernels have the same 16-byte instructions.
It asks for no huge pages, so it gets base pages where the machine gives huge ones on request only; with
huge_malloc.c preloaded it asks, and both page sizes can be compared.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

from paired import DEFAULT_KERNELS, HEADER, compare, ours, text_of

CHASES = (
    ("L1, 16 KiB", "16k", "base", "l1_latency_ns", (), 0.10),
    ("L2, 128 KiB", "128k", "base", "l2_latency_ns", (), 0.10),
    ("L3, twice L2 (1 MiB)", "1m", "base", "l3_latency_ns", (), 0.25),
    ("memory, 64 MiB, 4 KiB pages", "64m", "base", "latency_ns", (), 0.25),
    ("memory, 64 MiB, huge pages", "64m", "huge", "latency_ns", ("-H",), 0.25),
)
STREAMS = (("read", "load_sse"), ("write", "store_sse"), ("copy", "copy_sse"), ("triad", "stream_sse"))
BANDWIDTH_TARGET = 0.25


def multichase_ns(options: argparse.Namespace, size: str, more: tuple[str, ...]) -> float | None:
    words = ["taskset", "-c", str(options.cpu), str(options.multichase), "-m", size, "-s", "64", "-T", size]
    found = re.search(r"([\d.]+)", text_of([*words, "-n", "2", *more]))
    return float(found.group(1)) if found else None


def likwid_bytes_per_s(options: argparse.Namespace, kernel: str, preload: Path | None) -> float | None:
    environment = {"LD_PRELOAD": str(preload)} if preload else {}
    words = [options.likwid, "-t", kernel, "-w", "S0:128MB:1", "-i", "20"]
    found = re.search(r"MByte/s:\s+([\d.]+)", text_of(words, environment))
    return 1e6 * float(found.group(1)) if found else None


def compare_bandwidths(options: argparse.Namespace, pages: str, preload: Path | None) -> None:
    for operation, kernel in STREAMS:
        words = ["memory_bandwidth", f"cpus={options.cpu}", f"operation={operation}", f"pages={pages}"]
        compare(
            f"{operation}, {pages} pages, likwid {kernel}",
            "GB/s",
            1e-9,
            lambda w=words: ours(options.kernels, w, "bandwidth_bytes_per_s"),
            lambda k=kernel: likwid_bytes_per_s(options, k, preload),
            options.repeats,
            BANDWIDTH_TARGET,
        )


def compare_latencies(options: argparse.Namespace) -> None:
    for label, size, pages, measure, more, target in CHASES:
        if options.only not in label:
            continue
        words = ["memory_latency", f"cpus={options.cpu}", f"pages={pages}"]
        compare(
            f"{label}, multichase",
            "ns",
            1.0,
            lambda w=words, m=measure: ours(options.kernels, w, m),
            lambda s=size, more=more: multichase_ns(options, s, more),
            options.repeats,
            target,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="our memory kernels against others, in turns")
    parser.add_argument("--kernels", type=Path, default=DEFAULT_KERNELS)
    parser.add_argument("--multichase", type=Path, required=True)
    parser.add_argument("--likwid", default="likwid-bench", help="it chooses CPU 0 of socket 0")
    parser.add_argument("--cpu", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--only", default="", help="of the latencies those with this in their name")
    parser.add_argument("what", nargs="*", default=["latency", "base", "huge"], help="any of these three")
    options = parser.parse_args()
    print(HEADER, flush=True)
    if "latency" in options.what:
        compare_latencies(options)
    with tempfile.TemporaryDirectory() as folder:
        preload, source = Path(folder) / "huge_malloc.so", Path(__file__).parent / "huge_malloc.c"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", preload, source], check=True)
        if "base" in options.what:
            compare_bandwidths(options, "base", None)
        if "huge" in options.what:
            compare_bandwidths(options, "huge", preload)


if __name__ == "__main__":
    main()
