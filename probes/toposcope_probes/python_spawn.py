"""The probe `python_spawn`; its program is `runtime/python_spawn.py`."""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Estimator, Measure, ProbeSpec, Program, TargetKind

SPEC: Final = ProbeSpec(
    name="python_spawn",
    help="What creating a worker costs in Python: threads, processes, tasks, greenlets",
    operation="make a worker that does nothing and join or await it, all on one CPU",
    target=TargetKind.INTERPRETER,
    measures=(
        Measure("create_ns", "From making a worker to its having been joined", estimator=Estimator.MEDIAN),
        Measure("memory_bytes", "Private memory of one more idle worker", estimator=Estimator.MEDIAN),
    ),
    variants={
        "model": (
            "thread",
            "process_fork",
            "process_forkserver",
            "process_spawn",
            "asyncio_task",
            "greenlet",
        ),
    },
    program=Program.RUNTIME,
    interval_s=86_400.0,
    max_age_s=7 * 86_400.0,
    visit_ms=700.0,
    deadline_ms=35_000.0,
    feels_load=True,
)
