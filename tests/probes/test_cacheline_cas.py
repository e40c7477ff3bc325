"""cacheline_cas: one line by compare-and-swap, judged by relations and never by absolute times."""

from __future__ import annotations

import statistics

import pytest

from kernel_program import latency_ns, measure, measure_ok, two_cpus

pytestmark = pytest.mark.live


def pair() -> str:
    one, other = two_cpus()
    return f"cpus={one},{other}"


@pytest.mark.parametrize("model", ["thread", "process"])
def test_a_visit_goes_over_sixteen_lines_alike(model: str) -> None:
    line = measure_ok("cacheline_cas", pair(), f"model={model}")
    counts = [len(group) for group in line["samples"]["latency_ns"]]
    assert line["groups"] == [f"line{number}" for number in range(16)]
    assert sum(counts) == line["batches_kept"]
    dropped = sum(line["batches_dropped"].values())
    assert max(counts) - min(counts) <= 1 + dropped, "lines take turns"
    assert line["variant"] == {"model": model}
    assert line["facts"]["home_node"] >= 0
    assert isinstance(line["facts"]["home_verified"], bool)


def test_threads_and_processes_agree() -> None:
    """The line does not know who shares it; the median over turns forgives a machine that moved."""
    ratios = []
    for _ in range(9):
        thread = latency_ns(measure_ok("cacheline_cas", pair(), "model=thread"))
        ratios.append(latency_ns(measure_ok("cacheline_cas", pair(), "model=process")) / thread)
    assert statistics.median(ratios) == pytest.approx(1, rel=0.3)


def test_both_homes_are_named() -> None:
    for home in ("first", "second"):
        line = measure_ok("cacheline_cas", pair(), f"home={home}")
        assert line["variant"]["home"] == home


def test_precision_decides_how_long_a_visit_is() -> None:
    """0 per mille is hardly ever reached, 1000 always at once."""
    short = measure_ok("cacheline_cas", pair(), "precision_permille=1000", "rounds=24", "max_ms=500")
    long = measure_ok("cacheline_cas", pair(), "precision_permille=0", "rounds=24", "max_ms=500")
    assert short["facts"]["stopped_by"] == "precision"
    assert long["facts"]["stopped_by"] in {"rounds", "limit"}
    assert long["batches_kept"] > 2 * short["batches_kept"]


def test_many_pairs_in_one_process_print_a_line_each() -> None:
    one, other = two_cpus()
    lines = measure("cacheline_cas", f"pairs={one}:{other},{other}:{one},{one}:8000")
    assert [line["cpus"] for line in lines] == [[one, other], [other, one], [one, 8000]]
    assert lines[2]["status"] == "not_applicable"
