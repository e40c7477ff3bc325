"""Messages between two ends, through every channel; nothing hangs when an end stays away."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import time
from typing import Any

import pytest

from kernel_program import build, measure, measure_ok, two_cpus

pytestmark = pytest.mark.live
CHANNELS = ("pipe", "unix", "tcp", "eventfd", "futex", "shm_ring")
BULK = {"pipe", "unix", "tcp", "shm_ring"}


def ipc(*words: str) -> dict[str, Any]:
    one, other = two_cpus()
    return measure_ok("ipc", f"cpus={one},{other}", "max_ms=2000", *words)


@pytest.mark.parametrize("model", ["thread", "process"])
@pytest.mark.parametrize("channel", CHANNELS)
def test_every_channel_echoes(channel: str, model: str) -> None:
    line = ipc(f"channel={channel}", f"model={model}")
    assert line["variant"] == {"channel": channel, "model": model}
    assert ("throughput_bytes_per_s" in line["samples"]) == (channel in BULK)


def test_memory_without_the_system_is_far_faster_than_a_pipe() -> None:
    pipe, ring = ipc("channel=pipe"), ipc("channel=shm_ring")
    name = "round_trip_ns"
    assert statistics.median(ring["samples"][name][0]) * 3 < statistics.median(pipe["samples"][name][0])


@pytest.mark.parametrize("size", [1, 4096])
def test_messages_of_any_allowed_size_arrive(size: int) -> None:
    for channel in CHANNELS:
        line = ipc(f"channel={channel}", f"message_bytes={size}", "transfers=0")
        assert line["facts"]["message_bytes"] == size
        assert set(line["samples"]) == {"round_trip_ns"}


def test_both_ends_on_one_cpu() -> None:
    assert measure_ok("ipc", "cpus=0", "max_ms=2000")["facts"]["same_cpu"] is True
    (ring,) = measure("ipc", "cpus=0", "channel=shm_ring")
    assert ring["status"] == "not_applicable"


@pytest.mark.parametrize("channel", CHANNELS)
def test_an_end_that_stops_costs_the_limit_and_no_more(channel: str) -> None:
    """The answering process is stopped; the asking end is interrupted at max_ms and says what it has."""
    one, other = two_cpus()
    words = [f"cpus={one},{other}", f"channel={channel}", "model=process", "batches=512", "round_trips=1024"]
    begin = time.monotonic()
    process = subprocess.Popen(
        [build(), "ipc", *words, "max_ms=700"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    stopped = False
    while not stopped and process.poll() is None:
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as children:  # noqa: PTH123
            for child in children.read().split():
                os.kill(int(child), signal.SIGSTOP)
                stopped = True
    output, complaint = process.communicate(timeout=20)
    assert stopped
    assert (process.returncode, complaint) == (0, "")
    assert '"status":"failed"' in output.replace(" ", "")
    assert time.monotonic() - begin < 6
