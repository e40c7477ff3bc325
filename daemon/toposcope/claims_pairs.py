"""Ratios and differences of paired visits, with their intervals; pure.

The report visits both sides of a comparison in turn, so the k-th visit of one is paired with the k-th of the
other, which takes out what changes with time (a busy neighbour, a vCPU that moved). The ratio is the median
over pairs. Its 95 % interval is, with six pairs or more, the one of the median by order statistics (David &
Nagaraja, Order Statistics, 7.1), with fewer the hull of the pairs' own intervals, which is wider.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Final

from toposcope.measure import estimate as estimation
from toposcope.results import Estimate

PAIRS_MAX: Final = 48
# From so many pairs on the interval is the pairs' own.
_PAIRS_ORDERED: Final = 6
# A speed-up may be measured as 0; a ratio of it is large, not undefined.
_TINY: Final = 1e-12

Paired = tuple[float, tuple[float, float], int]


def paired_ratio(above: Sequence[Estimate], below: Sequence[Estimate]) -> Paired:
    """Median of the ratios of paired visits (the latest of each), its 95 % interval, number of pairs.

    The two sides of a pair err independently, so that their relative errors add up as squares.
    """
    middle, (low, high), pairs = paired_difference(
        [_logarithm(a) for a in above], [_logarithm(b) for b in below]
    )
    return math.exp(middle), (math.exp(low), math.exp(high)), pairs


def _logarithm(value: Estimate) -> Estimate:
    logs = [math.log(max(getattr(value, name), _TINY)) for name in Estimate.__struct_fields__]
    return Estimate(*logs)


def paired_difference(above: Sequence[Estimate], below: Sequence[Estimate]) -> Paired:
    """The same for differences, where the other side may well be 0."""
    pairs = min(len(above), len(below), PAIRS_MAX)
    assert pairs > 0, "nothing to compare"
    couples = list(zip(above[-pairs:], below[-pairs:], strict=True))
    points = sorted(a.estimate - b.estimate for a, b in couples)
    middle = statistics.median(points)
    if pairs >= _PAIRS_ORDERED:
        return middle, estimation.median_interval(points), pairs
    low = min(
        a.estimate - b.estimate - math.hypot(a.estimate - a.low, b.high - b.estimate) for a, b in couples
    )
    high = max(
        a.estimate - b.estimate + math.hypot(a.high - a.estimate, b.estimate - b.low) for a, b in couples
    )
    return middle, (low, high), pairs
