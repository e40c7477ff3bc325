"""A load that depends on the one before, over working sets from level 1 to main memory: ns a load.

Each working set is a random single cycle of lines (Sattolo, 1986), so nothing overlaps and no prefetcher
guesses. `latency_ns` is main memory: the largest set, flushed from all caches before it is walked.
`l1_latency_ns` and `l2_latency_ns` are sets of 16 and 128 KiB, `l3_latency_ns` one of twice level 2. The
fact `curve_ns_by_kib` holds all sets; from it come `effective_l1_bytes` to `effective_l3_bytes`: the
largest set that reads below the geometric mean of its level's latency and the next one's, and below which
none reads beyond it. Where others use a shared cache too, its effective size is smaller than the declared
one.

Page walks are part of what people pay and are not hidden: `pages=base` walks for nearly each load of main
memory, `pages=huge` (verified, else not applicable) for hardly any. Arguments of the kernel beyond those
below: `steps` (sets to an octave, 1 or 2), `largest_mib`, `limit_mib`, `verify=1` (walk the largest cycle
too). Compare with lat_mem_rd of lmbench and with google/multichase, which hides page walks unless told
otherwise.
"""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Estimator, Measure, ProbeSpec, TargetKind, WorkingSet

SPEC: Final = ProbeSpec(
    name="memory_latency",
    help="Latency of dependent loads, from the first cache to main memory of a node",
    operation="pointer chase over a random single cycle of lines",
    target=TargetKind.CPU_NODE,
    measures=(
        Measure("latency_ns", "Time of a load from main memory", estimator=Estimator.MEDIAN),
        Measure("l1_latency_ns", "Time of a load from a set of 16 KiB", estimator=Estimator.MEDIAN),
        Measure("l2_latency_ns", "Time of a load from a set of 128 KiB", estimator=Estimator.MEDIAN),
        Measure("l3_latency_ns", "Time of a load from a set of twice level 2", estimator=Estimator.MEDIAN),
    ),
    variants={"pages": ("base", "huge")},
    # The curve goes up to a quarter of the largest set, and is to hold the whole of level 3.
    working_set=WorkingSet("largest_mib", times=4, least_mib=64, most_mib=256, power_of_two=True),
    arguments={"max_ms": "3000"},
    interval_s=7200.0,
    visit_ms=450.0,
    deadline_ms=5000.0,
    saturates=True,
)
