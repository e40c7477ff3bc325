"""The probe `python_switch`; its program is `runtime/python_switch.py`."""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Estimator, Measure, ProbeSpec, Program, TargetKind

SPEC: Final = ProbeSpec(
    name="python_switch",
    help="What letting another worker go on costs in Python, and what one that does not costs the others",
    operation="hand over to another coroutine, thread or process on the same CPU, and back",
    target=TargetKind.INTERPRETER,
    measures=(
        Measure("switch_ns", "One hand-over, one way", estimator=Estimator.MEDIAN),
        Measure(
            "stall_ns",
            "Longest gap of a worker that wants to run every millisecond while another computes",
            estimator=Estimator.MEDIAN,
        ),
    ),
    variants={"model": ("await", "asyncio_task", "gevent", "thread", "process")},
    program=Program.RUNTIME,
    interval_s=86_400.0,
    max_age_s=7 * 86_400.0,
    visit_ms=700.0,
    deadline_ms=35_000.0,
    feels_load=True,
)
