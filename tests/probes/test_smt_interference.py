"""smt_interference: work beside a busy and beside a sleeping sibling."""

from __future__ import annotations

import statistics

import pytest

from kernel_program import measure, measure_ok, two_cpus

pytestmark = pytest.mark.live


@pytest.mark.parametrize("model", ["thread", "process"])
def test_each_kind_of_work_has_its_ratio(model: str) -> None:
    """On one core or on two (a hypervisor may make them either): never much faster, at most shared by two."""
    one, other = two_cpus()
    line = measure_ok("smt_interference", f"cpus={one},{other}", f"model={model}", "rounds=12", "max_ms=500")
    assert line["groups"] == ["independent_additions", "dependent_multiplications", "level_1_loads"]
    for ratios in line["samples"]["slowdown_ratio"]:
        assert 0.5 < statistics.median(ratios) < 5


def test_a_core_of_one_thread_has_no_sibling() -> None:
    one, _ = two_cpus()
    (line,) = measure("smt_interference", f"cpus={one}")
    assert (line["status"], line["reason"]) == ("not_applicable", f"CPU {one} has no SMT sibling")
