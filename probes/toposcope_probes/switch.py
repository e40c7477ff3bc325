"""Context switch on one CPU: two threads or two processes hand each other a token through pipes.

`switch_ns` is half a round trip less what a write and a read cost where nobody sleeps, as lmbench's lat_ctx
takes it; `hand_over_ns` is half a round trip with them, as `perf bench sched pipe` does. The target is a
CPU, since that is where a switch happens; waking a CPU instead is `wakeup`'s matter, and a hand-over
between two CPUs `ipc`'s (the kernel itself takes two CPUs as well: cpus=0,1). Every hand-over is a context
switch, so only batches with more switches than hand-overs explain are dropped. Source: McVoy and Staelin,
USENIX 1996.
"""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Estimator, Measure, ProbeSpec, TargetKind

SPEC: Final = ProbeSpec(
    name="switch",
    help="Context switch between two threads or two processes on one CPU",
    operation="a token through pipes, half a round trip, without its system calls",
    target=TargetKind.CPU,
    measures=(
        Measure("switch_ns", "Time of a context switch", estimator=Estimator.MEDIAN),
        Measure(
            "hand_over_ns",
            "Time of a switch with the write and read that cause it",
            estimator=Estimator.MEDIAN,
        ),
    ),
    variants={"model": ("thread", "process")},
    interval_s=1800.0,
    visit_ms=8.0,
    deadline_ms=2000.0,
    feels_load=True,
)
