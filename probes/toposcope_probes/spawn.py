"""What it costs to create a worker and to see it end, and what memory an idle one takes.

`create_ns`: pthread_create to pthread_join for `model=thread`, fork to waitpid for `model=process` (both
ends on one CPU, the worker does nothing); `exec_ns`: posix_spawn of the kernels' own program to waitpid.
fork copies the creator's page tables, so its cost grows with the creator: fact `creator_resident_bytes`.
`memory_bytes` is by how much Pss and page tables of the family grow for each of eight idle workers; the
kernel's own structures (a stack and a task, some 25 KiB for either kind) do not show there. Comparable:
lat_proc of lmbench. Sources: Documentation/filesystems/proc.rst, McVoy and Staelin (USENIX 1996).
"""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Estimator, Measure, ProbeSpec, TargetKind

SPEC: Final = ProbeSpec(
    name="spawn",
    help="Creating a thread, forking a process, starting a program; memory of a worker",
    operation="create and join a thread, fork and wait, posix_spawn and wait, on one CPU",
    target=TargetKind.CPU,
    measures=(
        Measure("create_ns", "Time to create a worker and see it end", estimator=Estimator.MEDIAN),
        Measure("memory_bytes", "Memory that an idle worker takes", estimator=Estimator.MEDIAN),
        Measure("exec_ns", "Time to start a program and see it end", estimator=Estimator.MEDIAN),
    ),
    variants={"model": ("thread", "process")},
    interval_s=3600.0,
    visit_ms=20.0,
    deadline_ms=2000.0,
    feels_load=True,
)
