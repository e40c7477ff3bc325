"""Stolen time: a CPU that is shared with a busy stranger shows it."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from typing import Any

import pytest

from kernel_program import measure_ok

pytestmark = pytest.mark.live


def available_ratio(line: dict[str, Any]) -> float:
    return statistics.fmean(group[0] for group in line["samples"]["available_ratio"])


def test_ratios_are_shares_and_gaps_exceed_the_threshold() -> None:
    line = measure_ok("os_jitter", "cpus=0", "max_ms=1000")
    assert all(0 < group[0] <= 1 for group in line["samples"]["available_ratio"])
    gaps_ns = [gap for group in line["samples"]["gap_ns"] for gap in group]
    assert all(gap >= line["facts"]["gap_threshold_ns"] * 0.99 for gap in gaps_ns)
    assert len(line["groups"]) == line["batches_kept"]


def test_windows_without_a_gap_have_all_of_the_time() -> None:
    line = measure_ok("os_jitter", "cpus=0", "max_ms=1000", "windows=64")
    samples = line["samples"]
    for ratio, gaps, rate in zip(
        samples["available_ratio"], samples["gap_ns"], samples["gaps_per_s"], strict=True
    ):
        assert (ratio[0] == 1) == (not gaps) == (rate[0] == 0)


def test_a_stranger_on_the_cpu_is_seen() -> None:
    """Two spinners on the same CPU leave about a third of it."""
    cpu = min(os.sched_getaffinity(0))
    words = ["taskset", "-c", str(cpu), sys.executable, "-c", "while True: pass"]
    strangers = [subprocess.Popen(words) for _ in range(2)]
    try:
        line = measure_ok("os_jitter", f"cpus={cpu}", "max_ms=2000", "windows=256")
    finally:
        for stranger in strangers:
            stranger.kill()
            stranger.wait()
    longest_ns = max(group[0] for group in line["samples"]["longest_gap_ns"])
    assert longest_ns > 500_000
    # A window of 0.6 ms that met a gap of milliseconds lost most of its time.
    assert min(group[0] for group in line["samples"]["available_ratio"]) < 0.6
