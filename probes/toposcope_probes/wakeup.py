"""How long a sleeper takes to run again: futex wake on one CPU, sleeper on the other.

The sleeper lies for 50 µs, so its CPU is idle but in no deep idle state (argument `asleep_us` for longer).
`wakeup_ns` runs from before the wake until the waker sees the sleeper's mark; `wake_call_ns` is the waker's
share, the system call. A wake that met nobody asleep and a preempted end drop the batch. In a virtual
machine an idle CPU belongs to the hypervisor, so the wake is an interrupt between two of its threads.
Source: futex(2).
"""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Estimator, Measure, ProbeSpec, TargetKind

SPEC: Final = ProbeSpec(
    name="wakeup",
    help="Time from waking a sleeper on another CPU until it runs",
    operation="futex wake to the sleeper's store seen by the waker, after 50 µs asleep",
    target=TargetKind.PAIR,
    measures=(
        Measure("wakeup_ns", "Time from the wake until the sleeper runs", estimator=Estimator.MEDIAN),
        Measure("wake_call_ns", "Time of the waker's system call", estimator=Estimator.MEDIAN),
    ),
    variants={"model": ("thread", "process")},
    two_ended=True,
    interval_s=1800.0,
    visit_ms=5.0,
    deadline_ms=2000.0,
    feels_load=True,
)
