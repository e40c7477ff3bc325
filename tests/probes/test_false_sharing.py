"""false_sharing: neighbours in one line against lines of their own."""

from __future__ import annotations

import statistics

import pytest

from kernel_program import measure_ok, two_cpus

pytestmark = pytest.mark.live


@pytest.mark.parametrize("model", ["thread", "process"])
def test_neighbours_slow_each_other_down(model: str) -> None:
    one, other = two_cpus()
    samples = measure_ok("false_sharing", f"cpus={one},{other}", f"model={model}")["samples"]
    slowdowns = [value for group in samples["slowdown_ratio"] for value in group]
    assert statistics.median(slowdowns) > 1.5
    for ratios, beside, own in zip(
        samples["slowdown_ratio"],
        samples["neighbour_increment_ns"],
        samples["own_increment_ns"],
        strict=True,
    ):
        assert ratios == pytest.approx([b / o for b, o in zip(beside, own, strict=True)], rel=1e-3)
