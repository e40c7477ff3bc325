"""Nothing is left behind: no process, no shared memory, no port, however a program ends."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
import uuid
from pathlib import Path

import pytest

import runtime_runs as runs

CASES = [
    ("python_spawn", {"model": "process_fork"}),
    ("python_spawn", {"model": "process_forkserver"}),
    ("python_spawn", {"model": "process_spawn"}),
    ("python_spawn", {"model": "thread"}),
    ("python_switch", {"model": "process"}),
    ("python_switch", {"model": "asyncio_task"}),
    ("python_channel", {"channel": "mp_queue", "size_bytes": "65536"}),
    ("python_channel", {"channel": "shared_memory", "size_bytes": "65536"}),
    ("python_channel", {"channel": "queue"}),
    ("python_scaling", {"model": "process_fork"}),
    ("python_scaling", {"model": "asyncio_task", "work": "native"}),
    ("python_io", {"model": "thread", "connections": "200"}),
    ("python_io", {"model": "asyncio", "connections": "200"}),
    ("python_affinity", {"model": "thread"}),
    ("python_workload", {"work": "bfs", "model": "process_fork"}),
    ("python_workload", {"work": "pagerank", "model": "thread"}),
    ("crash_containment", {"model": "thread"}),
    ("crash_containment", {"model": "process"}),
]
WAYS = ["SIGTERM", "SIGKILL", "deadline", "memory", "descriptors", "hang", "worker killed"]


def shared_memory() -> set[str]:
    return {path.name for path in Path("/dev/shm").iterdir() if path.name.startswith(("psm_", "sem."))}


Ports = set[tuple[str, str]]


def fail(probe: str, variant: dict[str, str], way: str, after_s: float, mark: str) -> Ports:
    """Start the program, make it fail and reap it; the ports that it or its workers were seen with."""
    settings: dict[str, int] = {"budget_ms": 10_000}
    if way == "deadline":
        settings["deadline_ms"] = max(1, int(after_s * 1000))
    if way == "memory":
        settings["memory_limit_bytes"] = random.Random(mark).randrange(1 << 20, 64 << 20)
    if way == "descriptors":
        settings["files_limit_count"] = 6
    if way in ("memory", "descriptors", "hang", "worker killed"):
        settings["deadline_ms"] = 1000
    program = runs.start(probe, {"TOPOSCOPE_TEST": mark}, **variant, **settings)
    watch = runs.PortWatch(program.pid)
    if way in ("SIGTERM", "SIGKILL"):
        time.sleep(after_s)
        program.send_signal(getattr(signal, way))
    if way in ("hang", "worker killed"):
        time.sleep(after_s)
        for pid in runs.processes_with(mark):
            if pid != program.pid:
                try:
                    os.kill(pid, signal.SIGSTOP if way == "hang" else signal.SIGKILL)
                except ProcessLookupError:
                    continue
    try:
        program.communicate(timeout=15)
    except subprocess.TimeoutExpired:
        os.killpg(program.pid, signal.SIGKILL)
        program.communicate()
        raise
    finally:
        ports = watch.stop()
    return ports


def left_over(mark: str, before: set[str], ports: Ports) -> list[object]:
    """What is still there two seconds later: helpers end when they read the end of a pipe."""
    until_s = time.monotonic() + 2
    while True:
        left = [*runs.processes_with(mark), *(shared_memory() - before), *(runs.ports_in_use() & ports)]
        if not left or time.monotonic() > until_s:
            return left
        time.sleep(0.02)


@pytest.mark.live
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_left_behind(way: str) -> None:
    before, mark, ports = shared_memory(), uuid.uuid4().hex, set()
    for number, (probe, variant) in enumerate(CASES[::3]):
        ports |= fail(probe, variant, way, 0.15 + 0.1 * number, mark)
    assert left_over(mark, before, ports) == []


@pytest.mark.live
def test_a_port_would_be_seen() -> None:
    mark = uuid.uuid4().hex
    program = runs.start(
        "python_io", {"TOPOSCOPE_TEST": mark}, model="asyncio", connections=10, budget_ms=10_000
    )
    ports: Ports = set()
    until_s = time.monotonic() + 10
    while len(ports) < 11 and time.monotonic() < until_s:
        ports |= runs.ports_of(program.pid)
    assert any(remote == "00000000:0000" for _, remote in ports), "the server listens"
    assert set(left_over(mark, shared_memory(), ports)) > ports
    program.kill()
    program.communicate()
    assert left_over(mark, shared_memory(), ports) == []


@pytest.mark.slow
@pytest.mark.live
@pytest.mark.flaky(reruns=0)
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("part", range(2))
def test_nothing_is_left_behind_by_200_failures(part: int) -> None:
    """More than a hundred failures each, every program in every way."""
    before, mark, chooser = shared_memory(), uuid.uuid4().hex, random.Random(part)
    ports: Ports = set()
    for number in range(len(CASES) * len(WAYS)):
        probe, variant = CASES[number % len(CASES)]
        ports |= fail(probe, variant, WAYS[number % len(WAYS)], chooser.uniform(0.02, 0.6), mark)
    assert len(ports) > 100
    assert left_over(mark, before, ports) == []
