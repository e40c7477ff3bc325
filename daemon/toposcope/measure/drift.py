"""Has a cost changed? A change detector for one series of visits (a group of targets and one probe); pure.

A change is claimed only if three visits in a row lie on one side of the baseline, far outside of what visits
differ by anyway, or a day of them by less. So a spike can't be one, and a series that is noisy by itself, or
that keeps returning to several values, can't raise any alarm at all: its state is `noisy`.

The short test weighs the last visit before the change and the three after it so that the step stands out
best from noise of the series' own autocorrelation (`baseline.weights_for`). How far off that sum has to be
follows from how many false events a host may have a year, and from how well the noise is known: limits
are quantiles of Student's distribution. Rates of detection and of false alarms: docs/drift.md.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from toposcope.measure.baseline import (
    CORRELATED,
    FREEDOM_SHARE,
    STRAY_SPREADS,
    Baseline,
    Noise,
    learn,
    noise_around_median,
    pooled,
)

State = Literal["learning", "stable", "noisy"]

# A visit whose own batches vary by more is not believed; visits that differ by more make the series noisy.
# The second limit leaves room for the error of an estimate from two weeks of visits.
MAX_VARIATION_RATIO: Final = 0.04
MAX_SPREAD_RATIO: Final = 0.047
# A baseline begins to count after three days of hourly visits and is complete after two weeks.
MIN_BASELINE_VISITS: Final = 72
BASELINE_VISITS: Final = 336
LEARN_EVERY: Final = 6  # divides both; medians are not sought anew for each visit
# Once it is complete, the noise of the latest two weeks is looked at once a day; the centre stays.
NOISE_EVERY: Final = 24
# More strays than that in two weeks are modes, not spikes. A visit so far off the baseline is one of them,
# unless it belongs to a change; a slow ramp stays nearer until it is told.
MAX_STRAYS: Final = 6
SHORT_VISITS: Final = 3
# What the median of the three is off, at least; it has to be beyond the baseline's reach as well.
SHORT_SPREADS: Final = 2.5
NEWEST_SPREADS: Final = 0.5  # what the visit is off after which a change is looked for
LONG_VISITS: Final = 24
LONG_LIMIT: Final = 6.0
# A visit agrees with a change if it shows this share of it: one of three has to show more than one of a day.
SHORT_AGREES: Final = 0.3
LONG_AGREES: Final = 0.1
# Smaller changes are of no use to anybody, however certain they are.
MIN_CHANGE_RATIO: Final = 0.08
# What all groups of a host together may raise falsely in a year of hourly visits, and how that is shared:
# a change of +20 % is smaller as a logarithm than one of -20 %, so it gets the larger part.
FALSE_EVENTS_A_YEAR: Final = 0.6
SLOWER_SHARE: Final = 0.9
VISITS_A_YEAR: Final = 24 * 365
# Noise is not quite Gaussian: with fewer groups the limits don't get any lower.
GROUPS_MIN: Final = 8
_NO_NOISE: Final = Noise(0.0, 0.0, 0)


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit: seconds since the epoch, its estimate (any unit, positive), its own variation as a ratio."""

    time_s: float
    estimate: float
    variation_ratio: float


@dataclass(frozen=True, slots=True)
class DriftEvent:
    """A change: estimates before and after in the visits' unit, `ratio` after to before with 95 % interval.

    `time_s` is of the first visit that lies on the new side.
    """

    time_s: float
    before: float
    after: float
    ratio: float
    ratio_low: float
    ratio_high: float
    evidence: str


@dataclass(frozen=True, slots=True)
class Drift:
    """What a series shows: its changes, oldest first, and whether the next one could be seen.

    `baseline` is what visits are compared with now, None while learning.
    """

    state: State
    events: tuple[DriftEvent, ...]
    baseline: float | None


@dataclass(frozen=True, slots=True)
class Memory:
    """All that a detector knows, to be kept over a restart; logarithms, oldest first."""

    learned: tuple[float, ...] = ()
    recent: tuple[tuple[float, float], ...] = ()
    latest: tuple[float, ...] = ()
    strays: tuple[int, ...] = ()
    compared: int = 0
    left_out: tuple[bool, ...] = ()
    baseline: Baseline | None = None
    noise: Noise = _NO_NOISE
    is_noisy: bool = False
    unheard: int = 0


def detect(visits: Iterable[Visit], groups: int = GROUPS_MIN) -> Drift:
    """Fold a series, oldest first. Restart it (pass later visits only) when the machine itself changed."""
    detector = Detector(groups=groups)
    events = [event for visit in visits if (event := detector.add(visit)) is not None]
    return Drift(detector.state, tuple(events), detector.baseline)


class Detector:
    """The fold behind `detect`, one visit at a time; its state is a function of the visits alone.

    `groups` is how many series of the host are watched: they share the false events that it may have.
    """

    def __init__(self, memory: Memory | None = None, groups: int = GROUPS_MIN) -> None:
        kept = memory or Memory()
        self.groups = groups
        self._learned = list(kept.learned)
        self._recent = deque(kept.recent, LONG_VISITS)  # (time, log) since the baseline counts
        self._latest = deque(kept.latest, BASELINE_VISITS)  # logs since it is complete
        self._strays = deque(kept.strays)  # numbers of the visits that were compared with the baseline
        self._compared = kept.compared
        self._left_out = deque(kept.left_out, LONG_VISITS)
        self._baseline = kept.baseline
        self._noise = kept.noise
        self._is_noisy = kept.is_noisy
        self._unheard = kept.unheard  # visits since the noise was looked at

    def memory(self) -> Memory:
        """What a detector needs to go on from here."""
        return Memory(
            tuple(self._learned),
            tuple(self._recent),
            tuple(self._latest),
            tuple(self._strays),
            self._compared,
            tuple(self._left_out),
            self._baseline,
            self._noise,
            self._is_noisy,
            self._unheard,
        )

    @property
    def state(self) -> State:
        """`noisy` where visits differ by too much, or each of them varies by too much: no alarm then."""
        if 2 * sum(self._left_out) > LONG_VISITS:
            return "noisy"
        if self._baseline is None:
            return "noisy" if self._is_noisy else "learning"
        return "noisy" if self._is_noisy or self._stray_count() > MAX_STRAYS else "stable"

    @property
    def baseline(self) -> float | None:
        """The estimate that visits are compared with, None while learning."""
        return None if self._baseline is None else math.exp(self._baseline.centre)

    @property
    def variation_ratio(self) -> float | None:
        """By how much visits differ by now, as a ratio; None while learning. docs/drift.md has its curves."""
        return None if self._baseline is None else math.expm1(self._noise.spread)

    def add(self, visit: Visit) -> DriftEvent | None:
        """Take the next visit; the change that it proves, if any. Visits that vary too much are left out."""
        left_out = visit.variation_ratio > MAX_VARIATION_RATIO or visit.estimate <= 0
        self._left_out.append(left_out)
        if left_out:
            return None
        log = math.log(visit.estimate)
        if self._baseline is None:
            self._learn(log)
            return None
        self._recent.append((visit.time_s, log))
        self._count_stray(abs(log - self._baseline.centre) > STRAY_SPREADS * self._noise.spread)
        event = self._changed(self._baseline) if self.state == "stable" else None
        if event is not None:
            self._restart([log for _, log in list(self._recent)[-SHORT_VISITS:]])
            return event
        if len(self._learned) < BASELINE_VISITS:
            self._learn(log)
        elif self.state == "noisy":
            # Neither spikes nor a change. Begin again, so that a series that calms down counts; until it has
            # been learnt anew, it stays what it was.
            self._restart([])
            self._is_noisy = True
        else:
            self._latest.append(log)
            self._unheard += 1
            if self._unheard >= NOISE_EVERY:
                self._look_at_noise(self._baseline)
        return None

    def _restart(self, logs: Sequence[float]) -> None:
        self._learned = list(logs)
        self._recent.clear()
        self._latest.clear()
        self._strays.clear()
        self._compared = 0
        self._baseline = None
        self._is_noisy = False
        self._unheard = 0

    def _learn(self, log: float) -> None:
        self._learned.append(log)
        if len(self._learned) % LEARN_EVERY == 0 and len(self._learned) >= MIN_BASELINE_VISITS:
            self._baseline = learn(self._learned)
            self._look_at_noise(self._baseline)

    def _look_at_noise(self, baseline: Baseline) -> None:
        """How do visits differ by now, in the baseline and in the latest two weeks?"""
        self._unheard = 0
        self._noise = newest = baseline.noise
        if len(self._latest) >= MIN_BASELINE_VISITS:
            newest = noise_around_median(self._latest, baseline.weights)
            self._noise = pooled(self._noise, newest)
        allowed = MAX_STRAYS * newest.visits / BASELINE_VISITS + 1
        self._is_noisy = newest.spread > MAX_SPREAD_RATIO or newest.strays > allowed

    def _count_stray(self, is_stray: bool) -> None:
        self._compared += 1
        if is_stray:
            self._strays.append(self._compared)
        if self._strays and self._strays[0] <= self._compared - BASELINE_VISITS:
            self._strays.popleft()

    def _stray_count(self) -> int:
        """Strays in the last two weeks but for the latest three visits, which may begin a change."""
        return sum(number <= self._compared - SHORT_VISITS for number in self._strays)

    def _changed(self, baseline: Baseline) -> DriftEvent | None:
        if abs(self._recent[-1][1] - baseline.centre) < NEWEST_SPREADS * self._noise.spread:
            return None
        above = [log - baseline.centre for _, log in self._recent]
        uncertain = CORRELATED / baseline.visits * self._noise.spread**2  # variance of the centre itself
        short = above[-SHORT_VISITS - 1 :]
        middle = sorted(short[1:])[SHORT_VISITS // 2] if len(short) > SHORT_VISITS else 0.0
        if abs(middle) >= max(SHORT_SPREADS * self._noise.spread, baseline.reach[middle > 0]):
            signal = sum(weight * each for weight, each in zip(baseline.weights, short, strict=True))
            of_step = sum(baseline.weights)
            deviation = math.sqrt(self._noise.weighted_deviation**2 + of_step**2 * uncertain)
            limit = _limit(signal > 0, max(self.groups, GROUPS_MIN), self._noise.visits)
            event = self._event(short[1:], signal / deviation, limit, SHORT_AGREES)
            if event is not None:
                return event
        if len(above) == LONG_VISITS:
            deviation = math.sqrt(CORRELATED / LONG_VISITS * self._noise.spread**2 + uncertain)
            return self._event(above, sum(above) / LONG_VISITS / deviation, LONG_LIMIT, LONG_AGREES)
        return None

    def _event(self, visits: list[float], score: float, limit: float, agrees: float) -> DriftEvent | None:
        """The change that the latest visits show, if the score says so and all but strays agree."""
        if abs(score) < limit or self._baseline is None:
            return None
        change = statistics.median(visits)
        # Three visits have to agree all; in a day, one in twelve may not.
        apart = sum(above / change < agrees for above in visits) if change else len(visits)
        if apart > len(visits) // 12 or abs(change) < math.log1p(MIN_CHANGE_RATIO) or change * score < 0:
            return None
        learned, centre = self._baseline.visits, self._baseline.centre
        error = 1.96 * self._noise.spread * math.sqrt(CORRELATED * (1 / len(visits) + 1 / learned))
        return DriftEvent(
            time_s=self._recent[-len(visits)][0],
            before=math.exp(centre),
            after=math.exp(centre + change),
            ratio=math.exp(change),
            ratio_low=math.exp(change - error),
            ratio_high=math.exp(change + error),
            evidence=f"{len(visits)} visits in a row on one side of a baseline of {learned} that "
            f"differ by {self._noise.spread:.1%}; {abs(score):.1f} deviations, {limit:.1f} are asked for",
        )


@functools.lru_cache(maxsize=1024)
def _limit(slower: bool, groups: int, noise_visits: int) -> float:
    """How many deviations the short test asks for, where their size was learnt from so many visits.

    A quantile of Student's distribution, by its expansion (Abramowitz and Stegun 26.7.5, first term).
    """
    share = SLOWER_SHARE if slower else 1 - SLOWER_SHARE
    normal = statistics.NormalDist().inv_cdf(1 - share * FALSE_EVENTS_A_YEAR / (groups * VISITS_A_YEAR))
    return normal + (normal**3 + normal) / (4 * FREEDOM_SHARE * noise_visits)
