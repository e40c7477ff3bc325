"""N CPUs with a counter each: neighbours in one cache line against lines of their own.

No counter is shared, so what the neighbours cost is the line alone. Windows of both layouts alternate and two
of them give one ratio, so that a moving machine hits both alike. Source: Bolosky and Scott, "False sharing
and its effect on shared memory performance", SEDMS 1993.
"""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Estimator, Measure, ProbeSpec, TargetKind

SPEC: Final = ProbeSpec(
    name="false_sharing",
    help="What it costs to keep counters of different CPUs in one cache line",
    operation="atomic fetch-and-add on own counters, neighbours in one line against lines of their own",
    target=TargetKind.CORE_SET,
    measures=(
        Measure(
            "slowdown_ratio",
            "Cost of an increment beside neighbours by its cost on a line of its own",
            estimator=Estimator.MEAN_OF_MEDIANS,
        ),
        Measure(
            "neighbour_increment_ns",
            "Time of one CPU's increment, counters in one line",
            estimator=Estimator.MEAN_OF_MEDIANS,
        ),
        Measure(
            "own_increment_ns",
            "Time of one CPU's increment, counters on lines of their own",
            estimator=Estimator.MEAN_OF_MEDIANS,
        ),
    ),
    variants={"model": ("thread", "process")},
    arguments={"max_ms": "100"},
    symmetric=True,
    two_ended=True,
    interval_s=3600.0,
    visit_ms=4.0,
    deadline_ms=1000.0,
)
