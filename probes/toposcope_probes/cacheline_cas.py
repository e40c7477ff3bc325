"""One cache line between two CPUs by compare-and-swap: ns one way, by threads and by processes.

The operation is that of `c2clat -w` and of core-to-core-latency: each end swaps the other's value for the
next one, so one way is half a round trip. Sources: rigtorp/c2clat, nviennot/core-to-core-latency.
"""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Measure, ProbeSpec, TargetKind

SPEC: Final = ProbeSpec(
    name="cacheline_cas",
    help="Latency of one cache line between two CPUs, by compare-and-swap",
    operation="compare-and-swap on one line, half a round trip",
    target=TargetKind.PAIR,
    measures=(
        Measure(
            "latency_ns", "Time for the line to get from one CPU to the other", family="cacheline_latency"
        ),
    ),
    variants={"model": ("thread", "process"), "home": ("first", "second")},
    symmetric=True,
    two_ended=True,
    interval_s=600.0,
    visit_ms=2.0,
    deadline_ms=1000.0,
)
