"""PageRank by workers that share nothing: right, and nearly as many times as fast as there are workers."""

from __future__ import annotations

import statistics

import pytest

from kernel_program import measure_ok, two_cpus

pytestmark = pytest.mark.live


@pytest.mark.parametrize("model", ["thread", "process"])
def test_every_ranking_is_that_of_a_lone_worker(model: str) -> None:
    one, other = two_cpus()
    line = measure_ok("workload_pagerank", f"cpus={one},{other}", f"model={model}", "scale=10", "max_ms=5000")
    assert line["variant"] == {"model": model}
    dropped = sum(line["batches_dropped"].values())
    assert line["facts"]["rounds_verified"] == line["batches_kept"] + dropped


def test_workers_that_share_nothing_hardly_hinder_each_other() -> None:
    one, other = two_cpus()
    line = measure_ok("workload_pagerank", f"cpus={one},{other}", "max_ms=5000", "rounds=24")
    assert statistics.median(line["samples"]["speedup_ratio"][0]) > 1.2
