"""Context switches: a hand-over is a switch and its system calls; two CPUs may be given."""

from __future__ import annotations

import statistics
from typing import Any

import pytest

from kernel_program import measure_ok, two_cpus

pytestmark = pytest.mark.live


def median(line: dict[str, Any], name: str) -> float:
    return statistics.median(line["samples"][name][0])


@pytest.mark.parametrize("model", ["thread", "process"])
def test_a_hand_over_is_a_switch_and_its_system_calls(model: str) -> None:
    line = measure_ok("switch", "cpus=0", f"model={model}", "max_ms=1000")
    calls_ns = line["facts"]["write_and_read_ns"]
    assert median(line, "hand_over_ns") == pytest.approx(median(line, "switch_ns") + calls_ns, rel=0.01)
    assert line["facts"]["same_cpu"] is True
    # Each hand-over is a switch: eight round trips a batch, two hand-overs each.
    assert line["checks"]["context_switches"] >= 16 * line["batches_kept"]


def test_the_token_can_cross_over_to_another_cpu() -> None:
    one, other = two_cpus()
    line = measure_ok("switch", f"cpus={one},{other}", "max_ms=2000")
    assert line["cpus"] == [one, other]
    assert line["facts"]["same_cpu"] is False
