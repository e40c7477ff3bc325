"""cacheline_contention: cost and fairness of one line that all want."""

from __future__ import annotations

import statistics

import pytest

from kernel_program import measure_ok, run, two_cpus

pytestmark = pytest.mark.live


@pytest.mark.parametrize("model", ["thread", "process"])
def test_shares_are_shares(model: str) -> None:
    one, other = two_cpus()
    samples = measure_ok("cacheline_contention", f"cpus={one},{other}", f"model={model}")["samples"]
    for groups in zip(samples["share_min_max_ratio"], samples["share_jain_ratio"], strict=True):
        for least_by_most, jain in zip(*groups, strict=True):
            assert 0 < least_by_most <= 1
            # Of two shares, Jain's index follows from their ratio r: (1 + r)^2 / (2 (1 + r^2)).
            expected = (1 + least_by_most) ** 2 / (2 * (1 + least_by_most**2))
            assert jain == pytest.approx(expected, rel=1e-3)


def test_a_contended_increment_costs_more_than_one_on_an_own_line() -> None:
    one, other = two_cpus()
    ratios = []
    for _ in range(5):
        contended = measure_ok("cacheline_contention", f"cpus={one},{other}")["samples"]["increment_ns"]
        own = measure_ok("false_sharing", f"cpus={one},{other}")["samples"]["own_increment_ns"]
        # Two CPUs on lines of their own get an increment done in half the time of one of them.
        contended_ns = statistics.median(value for group in contended for value in group)
        ratios.append(contended_ns / (statistics.median(value for group in own for value in group) / 2))
    assert statistics.median(ratios) > 1.5


def test_one_cpu_cannot_contend() -> None:
    one, _ = two_cpus()
    done = run("cacheline_contention", f"cpus={one}")
    assert done.returncode == 2
    assert "names 1 CPUs, a target here has 2 to 4096" in done.stderr
