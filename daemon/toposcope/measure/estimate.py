"""From the samples of a visit to its estimate, with an interval; pure arithmetic.

Intervals come from order statistics: the median of n values lies between their k-th smallest and k-th
largest with a probability that only the binomial distribution decides, whatever the values' own
distribution is (David & Nagaraja, Order Statistics, section 7.1).
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from collections.abc import Sequence

from toposcope.results import Estimate
from toposcope_probes.contract import Estimator

_CONFIDENCE = 0.95


def estimate_visit(groups: Sequence[Sequence[float]], estimator: Estimator) -> Estimate | None:
    """The estimate of one visit from its samples, one sequence a group; None where nothing was kept."""
    filled = [sorted(group) for group in groups if group]
    if not filled:
        return None
    everything = sorted(itertools.chain.from_iterable(filled))
    if estimator is Estimator.LOWEST_DECILE_BY_GROUP:
        values = sorted([quantile(group, 0.1) for group in filled])
        point, (low, high) = statistics.median(values), median_interval(values)
    elif estimator is Estimator.MEAN_OF_MEDIANS:
        values = sorted(statistics.median(group) for group in filled)
        point, (low, high) = statistics.fmean(values), _mean_interval(values)
    else:
        values = sorted(statistics.median(group) for group in filled)
        point, (low, high) = statistics.median(everything), median_interval(everything)
    return Estimate(
        estimate=point,
        min=everything[0],
        median=statistics.median(everything),
        p90=quantile(everything, 0.9),
        low=low,
        high=high,
        line_spread=quantile(values, 0.9) - quantile(values, 0.1),
    )


def combine(visits: Sequence[Estimate]) -> Estimate:
    """One estimate for several visits of one target: the median visit, statistic by statistic.

    With six visits or more the interval is the one of the median over visits (which holds what changes
    from visit to visit); with fewer it is the hull of the visits' own intervals.
    """
    assert visits, "nothing to combine"
    if len(visits) == 1:
        return visits[0]
    points = sorted(visit.estimate for visit in visits)
    if len(points) >= 6:
        low, high = median_interval(points)
    else:
        low, high = min(visit.low for visit in visits), max(visit.high for visit in visits)
    return Estimate(
        estimate=statistics.median(points),
        min=min(visit.min for visit in visits),
        median=statistics.median(visit.median for visit in visits),
        p90=statistics.median(visit.p90 for visit in visits),
        low=low,
        high=high,
        line_spread=statistics.median(visit.line_spread for visit in visits),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank quantile of values in ascending order: always a value that was measured."""
    assert ordered, "quantile of nothing"
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def median_interval(ordered: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the median of values in ascending order; the whole range where n < 6."""
    rank = _median_rank(len(ordered))
    return ordered[rank], ordered[len(ordered) - 1 - rank]


@functools.cache
def _median_rank(count: int) -> int:
    """The largest index k for which [k, count-1-k] holds the median with at least 95 %."""
    if count > 200:  # the normal approximation is exact enough and cheaper
        return max(0, math.floor((count - 1.96 * math.sqrt(count)) / 2) - 1)
    tail, rank = 0.0, 0
    for k in range(count // 2):
        tail += math.comb(count, k) / 2.0**count
        if 2 * tail > 1 - _CONFIDENCE:
            break
        rank = k
    return rank


def _mean_interval(values: Sequence[float]) -> tuple[float, float]:
    if len(values) < 2:
        return values[0], values[0]
    middle = statistics.fmean(values)
    reach = 1.96 * statistics.stdev(values) / math.sqrt(len(values))
    return middle - reach, middle + reach
