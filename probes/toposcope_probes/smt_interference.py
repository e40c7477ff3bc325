"""What a busy SMT sibling costs: work of one CPU beside a sleeping and beside a busy sibling.

Three kinds of work, a group each: independent additions compete for the core's execution units, a chain of
dependent multiplications leaves them free, loads compete for level 1. The sibling does independent additions.
On CPUs that are no siblings it reads about 1, so it also tells siblings that a hypervisor hides.
"""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Estimator, Measure, ProbeSpec, TargetKind

SPEC: Final = ProbeSpec(
    name="smt_interference",
    help="How much slower a CPU gets when its SMT sibling is busy",
    operation="fixed work with the sibling busy by the same work with the sibling asleep",
    target=TargetKind.CORE,
    measures=(
        Measure(
            "slowdown_ratio",
            "Time of the work beside a busy sibling by its time beside a sleeping one",
            estimator=Estimator.MEAN_OF_MEDIANS,
        ),
    ),
    variants={"model": ("thread", "process")},
    arguments={"max_ms": "100"},
    two_ended=True,
    interval_s=3600.0,
    visit_ms=3.0,
    deadline_ms=1000.0,
)
