"""The probe `python_workload`; its program is `runtime/python_workload.py`."""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Better, Estimator, Measure, ProbeSpec, Program, TargetKind

SPEC: Final = ProbeSpec(
    name="python_workload",
    help="Breadth-first search (work that shares) and PageRank (work that doesn't) in Python",
    operation="search or rank a Kronecker graph of 2^13 vertices with one worker on each CPU",
    target=TargetKind.INTERPRETER,
    measures=(
        Measure(
            "edges_per_s",
            "Edges searched or followed in a second",
            better=Better.HIGHER,
            estimator=Estimator.MEDIAN,
        ),
        Measure(
            "speedup_ratio",
            "Rate of all workers by a plain loop's",
            better=Better.HIGHER,
            estimator=Estimator.MEDIAN,
        ),
    ),
    variants={"work": ("bfs", "pagerank"), "model": ("thread", "process_fork")},
    program=Program.RUNTIME,
    interval_s=604_800.0,
    max_age_s=7 * 86_400.0,
    visit_ms=1000.0,
    deadline_ms=35_000.0,
)
