"""cacheline_handover: a message and its answer on two lines."""

from __future__ import annotations

import statistics

import pytest

from kernel_program import latency_ns, measure_ok, two_cpus

pytestmark = pytest.mark.live


@pytest.mark.parametrize("model", ["thread", "process"])
def test_a_hand_over_costs_more_than_a_swap(model: str) -> None:
    """A stored line must first be taken from its reader, then be read again: two transfers against one."""
    one, other = two_cpus()
    words = (f"cpus={one},{other}", f"model={model}")
    ratios = [
        latency_ns(measure_ok("cacheline_handover", *words)) / latency_ns(measure_ok("cacheline_cas", *words))
        for _ in range(9)
    ]
    assert 1.2 < statistics.median(ratios) < 6


def test_both_directions_agree() -> None:
    one, other = two_cpus()
    ratios = [
        latency_ns(measure_ok("cacheline_handover", f"cpus={one},{other}"))
        / latency_ns(measure_ok("cacheline_handover", f"cpus={other},{one}"))
        for _ in range(9)
    ]
    assert statistics.median(ratios) == pytest.approx(1, rel=0.3)
