"""Bytes a second between a core set and a node's memory: read, write, copy, triad.

The operations of STREAM (McCalpin, 1995) with 16-byte loads and ordinary stores. Counted are the bytes that
the program reads and writes (1, 1, 2 and 3 times an array), not the line that an ordinary store fetches
first: by that count `write` can move at most half of what `read` does on the bus. Windows of 0.25 ms in
which all CPUs work at once; a sample is the sum of their rates. How many CPUs saturate a node is read from
the core sets: the smallest one whose rate is within a tenth of the largest one's (compact:1, compact:2, …
of the same node).

Huge pages are asked for; the kernel's argument `pages=base` asks for none. Comparable, on the same pages:
likwid-bench load_sse, store_sse, copy_sse, stream_sse. mbw counts a copy once, and glibc's
memcpy uses stores that fetch nothing: both make other numbers of the same memory.
"""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Better, Estimator, Measure, ProbeSpec, TargetKind, WorkingSet

SPEC: Final = ProbeSpec(
    name="memory_bandwidth",
    help="Bandwidth of a core set to the memory of a node",
    operation="16-byte loads and ordinary stores through memory beyond all caches",
    target=TargetKind.CORE_SET_NODE,
    measures=(
        Measure(
            "bandwidth_bytes_per_s",
            "Bytes that the CPUs read and write in a second",
            Better.HIGHER,
            Estimator.MEDIAN,
        ),
    ),
    variants={"operation": ("read", "write", "copy", "triad")},
    working_set=WorkingSet("memory_mib", times=4, least_mib_a_cpu=32),
    two_ended=True,
    interval_s=86_400.0,
    visit_ms=120.0,
    deadline_ms=10_000.0,
    saturates=True,
)
