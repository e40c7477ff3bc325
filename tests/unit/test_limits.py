"""One CPU and one node bear at most a part of the measuring, however the plan chooses its targets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toposcope.measure.limits import RateLimits


def _limits(cpu_count: int = 128, node_count: int = 2) -> RateLimits:
    limits = RateLimits(cpu_credit_s=0.5, node_credit_s=2.0)
    limits.set(budget_ratio=0.01, saturation_ratio=0.001, cpu_count=cpu_count, node_count=node_count)
    return limits


def test_a_cpu_that_bore_its_part_waits_and_others_do_not() -> None:
    limits = _limits()
    limits.charge((0, 1), 1.2, (), 0.6, now_s=0.0)
    assert limits.wait_s((0, 7), (), 0.0) == pytest.approx(0.1 / 0.005, rel=0.01)
    assert limits.wait_s((7, 8), (), 0.0) == 0
    assert limits.wait_s((0, 1), (), 30.0) == 0


def test_a_node_that_was_saturated_waits_and_others_do_not() -> None:
    limits = _limits()
    limits.charge((0,), 0.1, (0,), 2.1, now_s=0.0)
    assert limits.wait_s((3,), (0,), 0.0) == pytest.approx(0.1 / 0.0005, rel=0.01)
    assert limits.wait_s((3,), (1,), 0.0) == 0
    assert limits.wait_s((3,), (), 0.0) == 0, "a visit that saturates nothing has not to wait for a node"


def test_where_there_is_nobody_to_share_with_one_may_bear_all() -> None:
    limits = _limits(cpu_count=2, node_count=1)
    limits.charge((0,), 0.6, (0,), 2.1, now_s=0.0)
    assert limits.wait_s((0,), (), 0.0) == pytest.approx(0.1 / 0.01, rel=0.01)
    assert limits.wait_s((1,), (0,), 0.0) == pytest.approx(0.1 / 0.001, rel=0.01)


def test_new_ratios_hold_for_those_already_seen() -> None:
    limits = _limits()
    limits.charge((0,), 0.6, (), 0.6, now_s=0.0)
    limits.set(budget_ratio=0.1, saturation_ratio=0.001, cpu_count=128, node_count=2)
    assert limits.wait_s((0,), (), 0.0) == pytest.approx(0.1 / 0.05, rel=0.01)


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0.001, 0.2)), min_size=1, max_size=200))
def test_over_any_time_a_cpu_bears_no_more_than_its_ratio_and_its_credit(
    visits: list[tuple[int, float]],
) -> None:
    limits, now_s = _limits(), 0.0
    borne: dict[int, float] = {}
    for cpu, cost_s in visits:
        now_s += limits.wait_s((cpu,), (), now_s)
        limits.charge((cpu,), cost_s, (), cost_s, now_s)
        borne[cpu] = borne.get(cpu, 0.0) + cost_s
    for cpu, total_s in borne.items():
        # Debt of the last visit is paid afterwards; 0.3 s is the credit of a minute.
        assert total_s <= 0.5 + 0.005 * now_s + 0.3 + 0.2, cpu
