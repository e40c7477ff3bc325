"""What the operating system and the hypervisor steal from fixed work on one CPU.

The same quantum of dependent additions (about 0.3 µs) is done again and again and timed each time (fixed
work quanta: Sottile and Minnich, Cluster 2004). A quantum beyond the threshold (the median plus six times
its distance from the fastest twentieth, and at least twice the median) held a gap. `available_ratio` is the
share of the time without the gaps; unlike their number it is steady enough to be judged and watched for
drift. Interrupts, other tasks and a hypervisor's absences all count: they are the thing measured, so no
batch is dropped for them. On a busy CPU this measures the company.
"""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Better, Estimator, Measure, ProbeSpec, TargetKind

SPEC: Final = ProbeSpec(
    name="os_jitter",
    help="What the operating system steals from fixed work",
    operation="dependent additions in quanta of about 0.3 µs, gaps beyond a threshold taken from the data",
    target=TargetKind.CPU,
    measures=(
        Measure(
            "available_ratio",
            "Share of the time that the work itself got",
            Better.HIGHER,
            Estimator.MEAN_OF_MEDIANS,
        ),
        Measure("gaps_per_s", "Gaps in a second", estimator=Estimator.MEAN_OF_MEDIANS),
        Measure("gap_ns", "Length of a gap", estimator=Estimator.MEDIAN),
        Measure(
            "longest_gap_ns", "Longest gap of a window of about 0.6 ms", estimator=Estimator.MEAN_OF_MEDIANS
        ),
    ),
    interval_s=900.0,
    visit_ms=32.0,
    deadline_ms=2000.0,
    feels_load=True,
)
