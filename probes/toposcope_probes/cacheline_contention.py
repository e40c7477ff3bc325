"""N CPUs atomically adding to one line: what an increment costs while all want it, and who gets how many.

`increment_ns` is the time by increments of all CPUs together, so a line that serves one CPU after another
shows its service time. Fairness is given twice: the smallest share by the greatest, and Jain's index, which
is 1 when all get the same and 1/N when one gets all. Sources: google/multichase (fairness); Jain, Chiu, Hawe,
DEC-TR-301, 1984.
"""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Better, Estimator, Measure, ProbeSpec, TargetKind

SPEC: Final = ProbeSpec(
    name="cacheline_contention",
    help="Atomic additions of several CPUs to one cache line: cost and fairness",
    operation="atomic fetch-and-add on one line by all CPUs of the set at once",
    target=TargetKind.CORE_SET,
    measures=(
        Measure(
            "increment_ns", "Time by increments of all CPUs together", estimator=Estimator.MEAN_OF_MEDIANS
        ),
        Measure(
            "share_min_max_ratio",
            "Smallest share of the increments by the greatest",
            Better.HIGHER,
            Estimator.MEAN_OF_MEDIANS,
        ),
        Measure(
            "share_jain_ratio",
            "Jain's fairness index of the shares",
            Better.HIGHER,
            Estimator.MEAN_OF_MEDIANS,
        ),
    ),
    variants={"model": ("thread", "process")},
    arguments={"max_ms": "100"},
    symmetric=True,
    two_ended=True,
    interval_s=3600.0,
    visit_ms=2.5,
    deadline_ms=1000.0,
)
