"""Dependent loads: the curve rises with the working set, the cycle is single, the page size is as stated."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from kernel_program import measure, measure_ok, measure_once

pytestmark = pytest.mark.live


def median_ns(line: dict, measure_name: str) -> float:  # type: ignore[type-arg]
    return statistics.median(value for group in line["samples"][measure_name] for value in group)


def curve(line: dict) -> dict[int, float]:  # type: ignore[type-arg]
    pairs = (point.split(":") for point in line["facts"]["curve_ns_by_kib"].split())
    return {int(kib): float(ns) for kib, ns in pairs}


def test_each_level_is_slower_than_the_one_before() -> None:
    line = measure_ok("memory_latency", "cpus=0")
    assert median_ns(line, "l1_latency_ns") < 0.7 * median_ns(line, "l2_latency_ns")
    assert median_ns(line, "l2_latency_ns") < 0.5 * median_ns(line, "latency_ns")


def test_the_curve_holds_every_set_and_gives_effective_sizes() -> None:
    line = measure_ok("memory_latency", "cpus=0", "steps=2", "largest_mib=32")
    found = curve(line)
    assert [str(kib * 1024) for kib in found] == line["groups"]
    assert list(found) == sorted(found)
    facts = line["facts"]
    assert 16384 <= facts["effective_l1_bytes"] < facts["effective_l2_bytes"] < facts["working_set_bytes"]


def test_only_the_largest_set_is_main_memory() -> None:
    line = measure_ok("memory_latency", "cpus=0", "largest_mib=8")
    filled = [
        name for name, group in zip(line["groups"], line["samples"]["latency_ns"], strict=True) if group
    ]
    assert filled == [str(8 << 20)]


def test_flushing_makes_a_small_set_come_from_memory() -> None:
    """A set that would fit level 2 reads as memory does, since it was flushed and each line is met once."""
    small = measure_ok("memory_latency", "cpus=0", "largest_mib=1")
    assert median_ns(small, "latency_ns") > 4 * median_ns(small, "l2_latency_ns")


def test_every_cycle_is_walked_and_found_single() -> None:
    assert (
        measure_ok("memory_latency", "cpus=0", "largest_mib=4", "verify=1")["facts"]["cycles_verified"]
        is True
    )


def test_base_and_huge_pages_are_what_they_say() -> None:
    base = measure_ok("memory_latency", "cpus=0", "pages=base", "largest_mib=16")
    assert base["facts"]["huge_pages_ratio"] < 0.1
    huge = measure_once("memory_latency", "cpus=0", "pages=huge", "largest_mib=16")
    if "[never]" in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text():
        assert huge["status"] == "not_applicable"
    elif huge["status"] == "ok":
        assert huge["facts"]["huge_pages_ratio"] >= 0.9
    else:
        assert "huge pages" in huge["reason"]


def test_too_large_a_set_is_not_applicable() -> None:
    (line,) = measure("memory_latency", "cpus=0", "largest_mib=2048", "limit_mib=1024")
    assert (line["status"], line["reason"]) == (
        "not_applicable", "needs 2 GiB, and no more than 1 GiB may be taken",
    )  # fmt: skip


def test_a_node_that_is_not_there_is_not_applicable() -> None:
    (line,) = measure("memory_latency", "cpus=0", "node=999")
    assert line["status"] == "not_applicable"
    assert line["node"] == 999
