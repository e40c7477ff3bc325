"""Personalised PageRank from three sources by each worker for itself: the isolated case.

Nothing is shared: each worker has a copy of the graph (Graph500's generator, 2^12 vertices unless `scale`
says otherwise) and ranks from three sources by power iteration; threads and processes differ in the address
space alone, which matters where vectors are allocated and given back, inside the timed part. Checked are
the ranks' sum and that every worker got what a lone one got. `edges_per_s` is the arcs of all workers by
the time of the slowest, `speedup_ratio` the same by one worker's rate in the same round: the number of
workers when they do not hinder each other. Source: Page, Brin, Motwani, Winograd, 1999.
"""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Better, Estimator, Measure, ProbeSpec, TargetKind

SPEC: Final = ProbeSpec(
    name="workload_pagerank",
    help="PageRank from three sources, each worker for itself: work that shares nothing",
    operation="power iteration over a copy of a Kronecker graph of 2^12 vertices",
    target=TargetKind.CORE_SET,
    measures=(
        Measure("edges_per_s", "Edges followed in a second by all workers", Better.HIGHER, Estimator.MEDIAN),
        Measure("speedup_ratio", "Rate of all workers by that of one", Better.HIGHER, Estimator.MEDIAN),
    ),
    variants={"model": ("thread", "process")},
    two_ended=True,
    interval_s=86_400.0,
    visit_ms=70.0,
    deadline_ms=5000.0,
    saturates=True,
)
