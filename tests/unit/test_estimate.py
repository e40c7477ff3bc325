"""Estimates: the right statistic, and intervals that hold the truth as often as they say."""

from __future__ import annotations

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toposcope.measure.estimate import combine, estimate_visit, median_interval, quantile
from toposcope.results import Estimate
from toposcope_probes.contract import Estimator

_POSITIVE = st.floats(0.1, 1e6)
_GROUPS = st.lists(st.lists(_POSITIVE, max_size=12), min_size=1, max_size=12)


def test_the_cache_line_estimate_is_the_median_line_of_each_lines_lowest_decile() -> None:
    lines = [[value + offset / 10 for offset in range(20)] for value in (22.0, 26.0, 30.0)]
    found = estimate_visit(lines, Estimator.LOWEST_DECILE_BY_GROUP)
    assert found is not None
    assert found.estimate == pytest.approx(26.1)  # the second lowest of twenty
    assert found.min == 22.0
    assert found.line_spread == pytest.approx(8.0)


def test_slow_batches_move_the_p90_and_not_the_estimate() -> None:
    quiet = [[26.0, 26.1, 26.2, 26.3, 26.4] * 4 for _ in range(16)]
    busy = [group[:10] + [900.0] * 10 for group in quiet]
    before = estimate_visit(quiet, Estimator.LOWEST_DECILE_BY_GROUP)
    after = estimate_visit(busy, Estimator.LOWEST_DECILE_BY_GROUP)
    assert before is not None
    assert after is not None
    assert after.estimate == before.estimate
    assert after.p90 == 900.0


def test_nothing_kept_is_no_estimate() -> None:
    assert estimate_visit([[], []], Estimator.MEDIAN) is None


@given(_GROUPS, st.sampled_from(list(Estimator)))
def test_statistics_are_ordered_whatever_was_measured(
    groups: list[list[float]], estimator: Estimator
) -> None:
    found = estimate_visit(groups, estimator)
    if not any(groups):
        assert found is None
        return
    assert found is not None
    assert found.min <= found.median <= found.p90
    assert found.low <= found.estimate * (1 + 1e-12)
    assert found.estimate <= found.high * (1 + 1e-12)
    assert found.line_spread >= 0


@given(st.lists(_POSITIVE, min_size=1, max_size=50), st.floats(0.01, 0.99))
def test_a_quantile_is_a_value_that_was_measured(values: list[float], share: float) -> None:
    ordered = sorted(values)
    found = quantile(ordered, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)


@pytest.mark.parametrize("count", [6, 9, 16, 40, 250])
def test_the_median_interval_holds_the_true_median_as_often_as_it_says(count: int) -> None:
    chooser = random.Random(count)
    rounds, held = 2000, 0
    for _ in range(rounds):
        values = sorted(chooser.lognormvariate(0, 1) for _ in range(count))
        low, high = median_interval(values)
        held += low <= 1.0 <= high
    assert held / rounds >= 0.94


def test_combined_visits_are_their_median_with_an_interval_over_visits() -> None:
    visits = [
        Estimate(v, v - 1, v, v + 1, v - 0.1, v + 0.1, 1.0)
        for v in (24.0, 25.0, 26.0, 27.0, 28.0, 29.0, 30.0)
    ]
    found = combine(visits)
    assert found.estimate == statistics.median(v.estimate for v in visits)
    assert (found.low, found.high) == (24.0, 30.0)
    assert combine(visits[:2]).low == 23.9
