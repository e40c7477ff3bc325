"""The probe `python_affinity`; its program is `runtime/python_affinity.py`."""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Better, Estimator, Measure, ProbeSpec, Program, TargetKind

SPEC: Final = ProbeSpec(
    name="python_affinity",
    help="What binding a Python server to one CPU gains: rate on one CPU by rate on all",
    operation="answer messages of 64 bytes on 50 loopback connections, on one CPU and on all in turns",
    target=TargetKind.INTERPRETER,
    measures=(
        Measure(
            "one_cpu_gain_ratio",
            "Answers a second on one CPU by those on all",
            better=Better.HIGHER,
            estimator=Estimator.MEDIAN,
        ),
        Measure(
            "requests_per_s", "Answers a second on all CPUs", better=Better.HIGHER, estimator=Estimator.MEDIAN
        ),
    ),
    variants={"model": ("thread", "asyncio")},
    program=Program.RUNTIME,
    interval_s=604_800.0,
    max_age_s=7 * 86_400.0,
    visit_ms=3200.0,
    deadline_ms=35_000.0,
    arguments={"budget_ms": "2700"},
    feels_load=True,
)
