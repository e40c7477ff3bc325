"""A value handed over on one line and back on another, by plain stores and loads: ns one way.

The operation is that of `c2clat` without `-w`: a message and its answer, as a queue or a mailbox between two
CPUs has it. It moves each line twice (the reader's copy must be invalidated before the next store), so it
reads 2 to 3 times what `cacheline_cas` reads on the same pair. Source: rigtorp/c2clat.
"""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Measure, ProbeSpec, TargetKind

SPEC: Final = ProbeSpec(
    name="cacheline_handover",
    help="Latency of a message between two CPUs, by store and load on two lines",
    operation="store and load on two lines, half a round trip",
    target=TargetKind.PAIR,
    measures=(
        Measure(
            "latency_ns", "Time for a stored value to be seen by the other CPU", family="cacheline_latency"
        ),
    ),
    variants={"model": ("thread", "process"), "home": ("first", "second")},
    symmetric=True,
    two_ended=True,
    interval_s=600.0,
    visit_ms=2.0,
    deadline_ms=1000.0,
)
