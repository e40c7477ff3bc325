"""Waking a sleeper: dearer than a cache line, and the call is part of it."""

from __future__ import annotations

import statistics

import pytest

from kernel_program import measure_ok, run, two_cpus

pytestmark = pytest.mark.live


@pytest.mark.parametrize("model", ["thread", "process"])
def test_a_wakeup_takes_longer_than_a_cache_line(model: str) -> None:
    one, other = two_cpus()
    line = measure_ok("wakeup", f"cpus={one},{other}", f"model={model}", "max_ms=1000")
    assert line["variant"] == {"model": model}
    assert statistics.median(line["samples"]["wakeup_ns"][0]) > 500
    assert len(line["samples"]["wakeup_ns"][0]) == line["batches_kept"]


def test_the_time_asleep_is_as_asked_for() -> None:
    one, other = two_cpus()
    line = measure_ok("wakeup", f"cpus={one},{other}", "asleep_us=500", "wakes=8", "max_ms=1000")
    assert line["facts"]["asleep_ns"] == 500_000


def test_a_wakeup_needs_two_cpus() -> None:
    assert run("wakeup", "cpus=0").returncode == 2
