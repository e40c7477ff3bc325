"""cacheline_bandwidth: producer to consumer through a shared ring."""

from __future__ import annotations

import statistics

import pytest

from kernel_program import latency_ns, measure_ok, run, two_cpus

pytestmark = pytest.mark.live


def bandwidth(line: dict) -> float:
    return statistics.median(v for group in line["samples"]["bandwidth_bytes_per_s"] for v in group)


@pytest.mark.parametrize("model", ["thread", "process"])
def test_lines_stream_faster_than_they_are_handed_over(model: str) -> None:
    """One by one, a line a hand-over, is the slowest way; a ring lets lines overlap."""
    one, other = two_cpus()
    words = (f"cpus={one},{other}", f"model={model}")
    ratios = []
    for _ in range(5):
        one_by_one = 64 / (latency_ns(measure_ok("cacheline_handover", *words)) * 1e-9)
        ratios.append(bandwidth(measure_ok("cacheline_bandwidth", *words)) / one_by_one)
    assert statistics.median(ratios) > 1.5


def test_the_ring_is_as_large_as_asked() -> None:
    one, other = two_cpus()
    line = measure_ok("cacheline_bandwidth", f"cpus={one},{other}", "ring_bytes=8192")
    assert line["facts"]["ring_bytes"] == 8192


def test_a_ring_too_small_for_a_block_is_refused() -> None:
    done = run("cacheline_bandwidth", "cpus=0,1", "ring_bytes=100")
    assert done.returncode == 2
    assert "ring_bytes=100 is not a whole number from 4096 to 16777216" in done.stderr
