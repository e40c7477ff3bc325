"""Has a cost changed? A change detector for one series of visits (a group of targets and one probe); pure.

A change is claimed only if three visits in a row lie on one side of the baseline, far outside of what visits
differ by anyway, or a day of them by less. So a spike can't be one, and a series that is noisy by itself, or
that keeps returning to several values, can't raise any alarm at all: its state is `noisy`.

The short test weighs the last visit before the change and the three after it by -0.5, 0.75, 0.25, 0.5: for a
lag-one autocorrelation of 0.5 this is the matched filter (generalised least squares; Kay, Fundamentals of
Statistical Signal Processing II, 4.4), and its variance is the same, within 1 %, for every autocorrelation
from 0 to 0.5, so that need not be known. Rates of detection and of false alarms: docs/drift.md.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

State = Literal["learning", "stable", "noisy"]

# A visit whose own batches vary by more is not believed; visits that differ by more make the series noisy.
# The second limit leaves room for the error of an estimate from two weeks of visits.
MAX_VARIATION_RATIO: Final = 0.04
MAX_SPREAD_RATIO: Final = 0.047
# Visits differ at least by that, whatever lucky weeks say.
MIN_SPREAD_RATIO: Final = 0.01
# A baseline begins to count after three days of hourly visits and is complete after two weeks.
MIN_BASELINE_VISITS: Final = 72
BASELINE_VISITS: Final = 336
LEARN_EVERY: Final = 6  # divides both; medians are not sought anew for each visit
# Visits this many spreads off that are no change are strays; more of them in two weeks are modes, not spikes.
STRAY_SPREADS: Final = 5.0
MAX_STRAYS: Final = 6
SHORT_WEIGHTS: Final = (-0.5, 0.75, 0.25, 0.5)
SHORT_DEVIATION: Final = math.sqrt(1.125)  # of the weighted sum, in spreads
SHORT_SIGNAL: Final = 1.5  # what the weights make of a step of 1
SHORT_LIMIT: Final = 4.6
SHORT_SPREADS: Final = 2.5  # what the median of the three is off, at least
LONG_VISITS: Final = 24
LONG_LIMIT: Final = 6.0
# Autocorrelation 0.5 makes the mean of n visits as uncertain as that of n/3 independent ones.
CORRELATED: Final = 3.0
# A visit agrees with a change if it shows this share of it: one of three has to show more than one of a day.
SHORT_AGREES: Final = 0.4
LONG_AGREES: Final = 0.1
# Smaller changes are of no use to anybody, however certain they are.
MIN_CHANGE_RATIO: Final = 0.08
_MAD_TO_DEVIATION: Final = 1.4826
_KEPT_SPREADS: Final = 3.5


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


def detect(visits: Iterable[Visit]) -> Drift:
    """Fold a series, oldest first. Restart it (pass later visits only) when the machine itself changed."""
    detector = Detector()
    events = [event for visit in visits if (event := detector.add(visit)) is not None]
    return Drift(detector.state, tuple(events), detector.baseline)


class Detector:
    """The fold behind `detect`, one visit at a time; its state is a function of the visits alone."""

    def __init__(self) -> None:
        self.state: State = "learning"
        self._learned: list[float] = []
        self._centre = 0.0
        self._spread = 0.0
        self._recent: deque[tuple[float, float]] = deque(maxlen=LONG_VISITS)  # (time, log above the centre)
        self._strays: deque[bool] = deque(maxlen=BASELINE_VISITS)

    @property
    def baseline(self) -> float | None:
        """The estimate that visits are compared with, None while learning."""
        return math.exp(self._centre) if len(self._learned) >= MIN_BASELINE_VISITS else None

    def add(self, visit: Visit) -> DriftEvent | None:
        """Take the next visit; the change that it proves, if any. Visits that vary too much are left out."""
        if visit.variation_ratio > MAX_VARIATION_RATIO or visit.estimate <= 0:
            return None
        log = math.log(visit.estimate)
        if len(self._learned) < MIN_BASELINE_VISITS:
            self._learn(log)
            return None
        self._recent.append((visit.time_s, log - self._centre))
        self._strays.append(abs(log - self._centre) > STRAY_SPREADS * self._spread)
        event = self._changed() if self.state == "stable" else None
        if event is not None:
            latest = list(self._recent)[-len(SHORT_WEIGHTS) + 1 :]
            self._restart([self._centre + above for _, above in latest])
            return event
        if len(self._learned) < BASELINE_VISITS:
            self._learn(log)
        elif self.state == "noisy" or self._stray_count() > MAX_STRAYS:
            # Neither spikes nor a change. Begin again, so that a series that calms down counts.
            self._restart([])
        return None

    def _restart(self, logs: Sequence[float]) -> None:
        self.state = "learning"
        self._learned = list(logs)
        self._recent.clear()
        self._strays.clear()

    def _learn(self, log: float) -> None:
        self._learned.append(log)
        if len(self._learned) < MIN_BASELINE_VISITS or len(self._learned) % LEARN_EVERY:
            return
        before = self._centre
        self._centre = statistics.median(self._learned)
        deviations = [abs(each - self._centre) for each in self._learned]
        spread = _spread_without_strays(deviations)
        self._spread = max(spread, MIN_SPREAD_RATIO)
        moved = before - self._centre
        self._recent = deque(((time_s, above + moved) for time_s, above in self._recent), LONG_VISITS)
        strays = sum(deviation > STRAY_SPREADS * self._spread for deviation in deviations)
        allowed = MAX_STRAYS * len(self._learned) / BASELINE_VISITS + 1
        self.state = "noisy" if spread > MAX_SPREAD_RATIO or strays > allowed else "stable"

    def _stray_count(self) -> int:
        """Strays in the last two weeks but for the latest three visits, which may begin a change."""
        latest = list(self._strays)[-len(SHORT_WEIGHTS) + 1 :]
        return sum(self._strays) - sum(latest)

    def _changed(self) -> DriftEvent | None:
        if self._stray_count() > MAX_STRAYS:
            return None
        uncertain = CORRELATED / len(self._learned)  # variance of the baseline itself, in spreads²
        short = list(self._recent)[-len(SHORT_WEIGHTS) :]
        if len(short) == len(SHORT_WEIGHTS):
            signal = sum(weight * above for weight, (_, above) in zip(SHORT_WEIGHTS, short, strict=True))
            deviation = self._spread * math.sqrt(SHORT_DEVIATION**2 + SHORT_SIGNAL**2 * uncertain)
            far = statistics.median(abs(above) for _, above in short[1:]) >= SHORT_SPREADS * self._spread
            score = signal / deviation if far else 0.0
            event = self._event(short[1:], score, SHORT_LIMIT, SHORT_AGREES)
            if event is not None:
                return event
        if len(self._recent) == LONG_VISITS:
            mean = sum(above for _, above in self._recent) / LONG_VISITS
            deviation = self._spread * math.sqrt(CORRELATED / LONG_VISITS + uncertain)
            return self._event(list(self._recent), mean / deviation, LONG_LIMIT, LONG_AGREES)
        return None

    def _event(
        self, visits: list[tuple[float, float]], score: float, limit: float, agrees: float
    ) -> DriftEvent | None:
        """The change that these visits show, if the score says so and all but strays agree."""
        if abs(score) < limit:
            return None
        change = statistics.median(above for _, above in visits)
        # Three visits have to agree all; in a day, one in twelve may not.
        apart = sum(above / change < agrees for _, above in visits) if change else len(visits)
        if apart > len(visits) // 12 or abs(change) < math.log1p(MIN_CHANGE_RATIO) or change * score < 0:
            return None
        error = 1.96 * self._spread * math.sqrt(CORRELATED * (1 / len(visits) + 1 / len(self._learned)))
        return DriftEvent(
            time_s=visits[0][0],
            before=math.exp(self._centre),
            after=math.exp(self._centre + change),
            ratio=math.exp(change),
            ratio_low=math.exp(change - error),
            ratio_high=math.exp(change + error),
            evidence=f"{len(visits)} visits in a row on one side of a baseline of {len(self._learned)} that "
            f"differ by {self._spread:.1%}; {abs(score):.1f} deviations, {limit:.1f} are asked for",
        )


def _spread_without_strays(deviations: Sequence[float]) -> float:
    """The standard deviation of what the median absolute deviation does not call a stray.

    The median alone would do, but from two weeks of visits it is known half as well.
    """
    limit = _KEPT_SPREADS * max(_MAD_TO_DEVIATION * statistics.median(deviations), MIN_SPREAD_RATIO)
    return math.sqrt(statistics.fmean(each * each for each in deviations if each <= limit))
