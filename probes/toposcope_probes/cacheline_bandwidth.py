"""Producer to consumer through a shared ring that fits level 2: bytes a second from cache to cache.

The first CPU of the pair produces, the second consumes, so the two directions are two targets. Blocks of 512
bytes are written and read as a whole; counts lie on lines of their own and are looked at once a block. Source
of the ring's form: rigtorp/SPSCQueue.
"""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Better, Estimator, Measure, ProbeSpec, TargetKind

SPEC: Final = ProbeSpec(
    name="cacheline_bandwidth",
    help="Bytes a second from one CPU to another through a shared ring",
    operation="512-byte blocks written by one CPU and read by the other, ring of 32 KiB",
    target=TargetKind.PAIR,
    measures=(
        Measure("bandwidth_bytes_per_s", "Bytes that arrive in a second", Better.HIGHER, Estimator.MEDIAN),
    ),
    variants={"model": ("thread", "process"), "home": ("first", "second")},
    arguments={"max_ms": "100"},
    two_ended=True,
    interval_s=1800.0,
    visit_ms=2.5,
    deadline_ms=1000.0,
)
