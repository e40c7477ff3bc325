"""The probe `python_scaling`; its program is `runtime/python_scaling.py`."""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Better, Estimator, Measure, ProbeSpec, Program, TargetKind

SPEC: Final = ProbeSpec(
    name="python_scaling",
    help="How much N workers speed work up in Python, for work in the interpreter and in C",
    operation="do N tasks of 3 ms in N workers at once, against one after the other",
    target=TargetKind.INTERPRETER,
    measures=(
        Measure(
            "speedup_ratio",
            "One after the other by all at once; 1 is no gain, N is perfect",
            better=Better.HIGHER,
            estimator=Estimator.MEDIAN,
        ),
        Measure(
            "parallelism_ratio",
            "Workers that ran or waited for nothing but a CPU; 1 is taking turns, N is all at once",
            better=Better.HIGHER,
            estimator=Estimator.MEDIAN,
        ),
    ),
    variants={
        "model": ("thread", "process_fork", "asyncio_task", "subinterpreter"),
        "work": ("python", "native"),
    },
    program=Program.RUNTIME,
    interval_s=604_800.0,
    max_age_s=7 * 86_400.0,
    visit_ms=3000.0,
    deadline_ms=60_000.0,
    arguments={"deadline_ms": "45000"},
    feels_load=True,
)
