"""The probe `python_io`; its program is `runtime/python_io.py`."""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Better, Estimator, Measure, ProbeSpec, Program, TargetKind

SPEC: Final = ProbeSpec(
    name="python_io",
    help="How many connections one Python process serves well: threads against event loops",
    operation="answer a message of 64 bytes on a loopback connection, at once or after a wait",
    target=TargetKind.INTERPRETER,
    measures=(
        Measure("requests_per_s", "Answers a second", better=Better.HIGHER, estimator=Estimator.MEDIAN),
        Measure("latency_p99_ns", "99th percentile from question to answer", estimator=Estimator.MEDIAN),
        Measure("memory_bytes", "The server's private memory a connection", estimator=Estimator.MEDIAN),
    ),
    variants={
        "model": ("thread", "asyncio", "gevent", "tornado", "uvloop"),
        "work": ("echo", "timer"),
        "connections": ("10", "100", "1000", "5000"),
    },
    program=Program.RUNTIME,
    interval_s=604_800.0,
    max_age_s=7 * 86_400.0,
    visit_ms=4000.0,
    deadline_ms=60_000.0,
    arguments={"deadline_ms": "45000"},
    feels_load=True,
)
