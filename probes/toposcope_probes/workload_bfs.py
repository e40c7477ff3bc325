"""Parallel breadth-first search over one shared Kronecker graph: the cooperative case.

The graph (Graph500's generator, 2^13 vertices unless `scale` says otherwise) is one read-only mapping for
threads and processes alike; what differs is how workers cooperate. Threads have parents and frontier in
common and win vertices by compare-and-swap. Processes own a block of the vertices each and send the rest as
messages through shared memory, as distributed codes do, with the fastest channel there is. So the two
models compare two ways to program; `exchange=shared|messages` gives both models the same way and leaves the
address space as the only difference. Every result is validated by Graph500's rules, outside the timed part.

`edges_per_s` counts an input edge within what was reached once (TEPS). `speedup_ratio` is by the plain
search of one worker in the same round; a small graph on distant CPUs is slower together than alone, which
is a result. Sources: graph500.org, specification 2.0; Buluç and Madduri, SC 2011.
"""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Better, Estimator, Measure, ProbeSpec, TargetKind

SPEC: Final = ProbeSpec(
    name="workload_bfs",
    help="Parallel breadth-first search over one graph: work that shares",
    operation="level-synchronous top-down search of a Kronecker graph of 2^13 vertices",
    target=TargetKind.CORE_SET,
    measures=(
        Measure("edges_per_s", "Edges searched in a second", Better.HIGHER, Estimator.MEDIAN),
        Measure("speedup_ratio", "Rate of all workers by that of one", Better.HIGHER, Estimator.MEDIAN),
    ),
    variants={"model": ("thread", "process")},
    two_ended=True,
    interval_s=86_400.0,
    visit_ms=60.0,
    deadline_ms=5000.0,
    saturates=True,
)
