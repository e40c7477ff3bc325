"""The probe `python_channel`; its program is `runtime/python_channel.py`."""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Better, Estimator, Measure, ProbeSpec, Program, TargetKind

SPEC: Final = ProbeSpec(
    name="python_channel",
    help="What a message costs in Python, by channel and size",
    operation="send a message of `size_bytes` to another worker and get it back",
    target=TargetKind.INTERPRETER,
    measures=(
        Measure("round_trip_ns", "A message there and the same one back", estimator=Estimator.MEDIAN),
        Measure(
            "messages_per_s", "Messages a second one way", better=Better.HIGHER, estimator=Estimator.MEDIAN
        ),
    ),
    variants={
        "channel": ("queue", "simple_queue", "mp_queue", "pipe", "shared_memory", "asyncio_queue"),
        "size_bytes": ("64", "4096", "65536", "1048576"),
    },
    program=Program.RUNTIME,
    interval_s=86_400.0,
    max_age_s=7 * 86_400.0,
    visit_ms=500.0,
    deadline_ms=35_000.0,
    feels_load=True,
)
