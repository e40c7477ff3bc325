"""Bandwidth: operations count what they say, memory is beyond the caches, the cap holds."""

from __future__ import annotations

import statistics
from typing import Any

import pytest

from kernel_program import measure, measure_ok, two_cpus

pytestmark = pytest.mark.live


def bytes_per_s(line: dict[str, Any]) -> float:
    return statistics.median(line["samples"]["bandwidth_bytes_per_s"][0])


def test_memory_is_slower_than_a_cache() -> None:
    memory = bytes_per_s(measure_ok("memory_bandwidth", "cpus=0", "operation=read"))
    cached = bytes_per_s(measure_ok("memory_bandwidth", "cpus=0", "operation=read", "memory_mib=1"))
    assert cached > 1.3 * memory


@pytest.mark.parametrize("operation", ["read", "write", "copy", "triad"])
def test_each_operation_is_measured_and_says_how(operation: str) -> None:
    line = measure_ok("memory_bandwidth", "cpus=0", f"operation={operation}")
    assert line["variant"] == {"operation": operation}
    assert "16-byte" in line["facts"]["instructions"]
    assert 1e8 < bytes_per_s(line) < 1e12


def test_base_pages_can_be_had() -> None:
    line = measure_ok("memory_bandwidth", "cpus=0", "pages=base")
    assert line["facts"]["huge_pages_ratio"] == 0
    assert line["facts"]["page_bytes"] < 2 << 20


def test_two_cpus_use_the_memory_of_one_node() -> None:
    one, other = two_cpus()
    line = measure_ok("memory_bandwidth", f"cpus={one},{other}", "node=0", "operation=copy")
    assert line["cpus"] == [one, other]
    assert line["facts"]["home_node"] == 0


def test_the_memory_grows_with_the_set_and_can_be_capped() -> None:
    (line,) = measure("memory_bandwidth", "cpus=0", "limit_mib=1")
    assert line["status"] == "not_applicable"
    assert line["reason"].startswith("needs ")
