"""The probe `crash_containment`; its program is `runtime/crash_containment.py`.

It crashes processes of its own, so it runs on request only.
"""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Better, Estimator, Measure, ProbeSpec, Program, TargetKind

SPEC: Final = ProbeSpec(
    name="crash_containment",
    help="Who survives a crashing worker, and how long until all work again",
    operation="a worker raises SIGSEGV; its supervisor restarts what has died",
    target=TargetKind.INTERPRETER,
    measures=(
        Measure(
            "survivors_ratio",
            "Share of the other workers that outlive the crash",
            better=Better.HIGHER,
            estimator=Estimator.MEDIAN,
        ),
        Measure("recovery_ns", "From the crash until all workers live again", estimator=Estimator.MEDIAN),
    ),
    variants={"model": ("thread", "process", "asyncio_task")},
    program=Program.RUNTIME,
    interval_s=86_400.0,
    max_age_s=7 * 86_400.0,
    visit_ms=1500.0,
    deadline_ms=35_000.0,
    on_request_only=True,
)
