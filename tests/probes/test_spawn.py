"""Creating workers: a process costs more than a thread, in time and in memory, and none is left behind."""

from __future__ import annotations

import statistics
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kernel_program import build, measure_ok

pytestmark = pytest.mark.live


def spawn(model: str) -> dict[str, Any]:
    return measure_ok("spawn", "cpus=0", f"model={model}", "max_ms=2000")


def median(line: dict[str, Any], name: str) -> float:
    return statistics.median(line["samples"][name][0])


def test_a_process_costs_more_than_a_thread() -> None:
    thread, process = spawn("thread"), spawn("process")
    assert median(process, "create_ns") > 1.5 * median(thread, "create_ns")
    assert median(process, "memory_bytes") > 1.5 * median(thread, "memory_bytes")
    assert "exec_ns" not in thread["samples"]
    assert median(process, "exec_ns") > median(process, "create_ns")


def test_an_idle_thread_takes_a_page_or_more() -> None:
    assert 4096 <= median(spawn("thread"), "memory_bytes") < 1 << 20


def test_what_the_program_started_does_not_speak_in_between() -> None:
    done = subprocess.run(
        [build(), "spawn", "cpus=0", "model=process"], capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stdout.startswith("{")


def test_nothing_is_left_behind() -> None:
    process = subprocess.Popen([build(), "spawn", "cpus=0", "model=process"], stdout=subprocess.DEVNULL)
    pid = process.pid
    process.wait()
    parents = (Path(f"/proc/{entry.name}/stat") for entry in Path("/proc").iterdir() if entry.name.isdigit())
    for stat in parents:
        try:
            assert stat.read_text().rpartition(")")[2].split()[2] != str(pid), "same process group"
        except (FileNotFoundError, ProcessLookupError):
            continue
