"""Messages between two CPUs: round trip and throughput by pipe, sockets, eventfd, futex, shared memory.

`round_trip_ns` is for 64 bytes there and back (argument `message_bytes`; eventfd carries its counter
alone); `throughput_bytes_per_s` for 1 MiB in blocks of 64 KiB until the receiver's answer, on channels that
carry bulk. All but `shm_ring` sleep while they wait, which is the thing measured: a batch is dropped where
an end was preempted, not where it slept. `shm_ring` spins and never sleeps, so any context switch drops its
batch; it shows what is left when the operating system is not asked. The kernel takes a single CPU as well
(both ends on it). Comparable: lat_pipe, lat_unix, lat_tcp, bw_pipe of lmbench; `perf bench sched pipe`.
"""

from __future__ import annotations

from typing import Final

from toposcope_probes.contract import Better, Estimator, Measure, ProbeSpec, TargetKind

SPEC: Final = ProbeSpec(
    name="ipc",
    help="Round trip and throughput of messages between two CPUs, by channel",
    operation="64-byte message there and back; 1 MiB one way in blocks of 64 KiB",
    target=TargetKind.PAIR,
    measures=(
        Measure("round_trip_ns", "Time of a message there and back", estimator=Estimator.MEDIAN),
        Measure("throughput_bytes_per_s", "Bytes that arrive in a second", Better.HIGHER, Estimator.MEDIAN),
    ),
    variants={
        "model": ("thread", "process"),
        "channel": ("pipe", "unix", "tcp", "eventfd", "futex", "shm_ring"),
    },
    symmetric=True,
    two_ended=True,
    interval_s=14_400.0,
    visit_ms=20.0,
    deadline_ms=2000.0,
    feels_load=True,
)
