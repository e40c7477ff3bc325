"""What a series of visits is like while nothing changes: where it lies and how its visits differ; pure.

All values are logarithms of estimates, so that differences are ratios. Strays (one-off spikes) are left out
of what is learnt, and counted.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# Visits differ at least by that, whatever lucky weeks say.
MIN_SPREAD_RATIO: Final = 0.01
# Up to this lag-one autocorrelation the weights follow the noise; beyond, they would rest on one visit.
MAX_CORRELATION: Final = 0.5
# Autocorrelation 0.5 makes the mean of n visits as uncertain as that of n/3 independent ones,
CORRELATED: Final = 3.0
# and a standard deviation from n visits as uncertain as one from 0.58 n.
FREEDOM_SHARE: Final = 0.58
# A visit so many spreads off is a spike, or belongs to a change.
STRAY_SPREADS: Final = 5.0
# So many visits on either side, spikes left out, may lie beyond a baseline's reach: two in two weeks.
RARE_SHARE: Final = 0.006
_MAD_TO_DEVIATION: Final = 1.4826
_KEPT_SPREADS: Final = 3.5

Weights = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Noise:
    """How visits differ: their standard deviation, and that of their weighted sum over four in a row.

    `visits` is from how many visits this was learnt, `strays` how many of them were left out for being too
    far off: one-off spikes, or, where there are many, a second value that the series keeps returning to.
    """

    spread: float
    weighted_deviation: float
    visits: int
    strays: int = 0

    @property
    def relative_error(self) -> float:
        """The standard error of `spread` as a share of it, at the worst autocorrelation that is weighed."""
        return 1 / math.sqrt(2 * FREEDOM_SHARE * self.visits)


@dataclass(frozen=True, slots=True)
class Baseline:
    """`centre` is the median; `weights` suit the noise's autocorrelation.

    Hardly any visit but spikes lies farther below or above the centre than `reach` (two distances, below and
    above): where visits are skewed or come in lumps, that is more than their spread lets one think.
    """

    centre: float
    weights: Weights
    noise: Noise
    reach: tuple[float, float]

    @property
    def visits(self) -> int:
        """How many visits this was learnt from."""
        return self.noise.visits


def learn(logs: Sequence[float]) -> Baseline:
    """The baseline of a series, at least four visits, in order of time."""
    centre = statistics.median(logs)
    deviations = [log - centre for log in logs]
    kept = _KEPT_SPREADS * _robust_spread(deviations)
    weights = weights_for(_correlation(deviations, kept))
    noise = _noise(deviations, weights, kept)
    ordered = sorted(each for each in deviations if abs(each) <= STRAY_SPREADS * noise.spread)
    rare = int(RARE_SHARE * len(ordered))
    return Baseline(centre, weights, noise, (max(-ordered[rare], 0.0), max(ordered[-1 - rare], 0.0)))


def noise_around_median(logs: Sequence[float], weights: Weights) -> Noise:
    """How visits differ, wherever they lie, at least four of them in order of time."""
    centre = statistics.median(logs)
    deviations = [log - centre for log in logs]
    return _noise(deviations, weights, _KEPT_SPREADS * _robust_spread(deviations))


def pooled(first: Noise, second: Noise) -> Noise:
    """Both together, each for as much as it was learnt from."""
    visits = first.visits + second.visits
    spread, deviation = (
        math.sqrt((first.visits * a * a + second.visits * b * b) / visits)
        for a, b in (
            (first.spread, second.spread),
            (first.weighted_deviation, second.weighted_deviation),
        )
    )
    return Noise(spread, deviation, visits, first.strays + second.strays)


def weights_for(correlation: float) -> Weights:
    """What to weigh the last visit before a step and the three after it by, to see the step best.

    The matched filter for noise of this lag-one autocorrelation (generalised least squares; Kay, Fundamentals
    of Statistical Signal Processing II, 4.4): each visit's share that the one before could not foretell,
    weighted by how much of the step it holds.
    """
    rest = 1 - correlation
    return (-correlation, 1 - correlation * rest, rest * rest, rest)


def _robust_spread(deviations: Sequence[float]) -> float:
    median = statistics.median(abs(each) for each in deviations)
    return max(_MAD_TO_DEVIATION * median, MIN_SPREAD_RATIO)


def _correlation(deviations: Sequence[float], kept: float) -> float:
    """The lag-one autocorrelation without strays, within 0 and MAX_CORRELATION."""
    pairs = [(a, b) for a, b in itertools.pairwise(deviations) if abs(a) <= kept and abs(b) <= kept]
    power = sum((a * a + b * b) / 2 for a, b in pairs)
    together = sum(a * b for a, b in pairs)
    return min(max(together / power, 0.0), MAX_CORRELATION) if power else 0.0


def _noise(deviations: Sequence[float], weights: Weights, kept: float) -> Noise:
    """The two standard deviations of what is kept; the median deviation alone would be known half as well."""
    calm = [each for each in deviations if abs(each) <= kept]
    spread = max(math.sqrt(statistics.fmean([each * each for each in calm])), MIN_SPREAD_RATIO)
    w0, w1, w2, w3 = weights
    windows = zip(deviations, deviations[1:], deviations[2:], deviations[3:], strict=False)
    sums = [
        (w0 * a + w1 * b + w2 * c + w3 * d) ** 2
        for a, b, c, d in windows
        if -kept <= a <= kept and -kept <= b <= kept and -kept <= c <= kept and -kept <= d <= kept
    ]
    least = MIN_SPREAD_RATIO * math.sqrt(sum(weight * weight for weight in weights))
    deviation = max(math.sqrt(statistics.fmean(sums)), least) if sums else least * spread / MIN_SPREAD_RATIO
    return Noise(spread, deviation, len(deviations), len(deviations) - len(calm))
