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

# A visit whose own batches vary by more is not believed; for series whose visits differ by up to as much,
# the rates in docs/drift.md are promised.
MAX_VARIATION_RATIO: Final = 0.04
# A series whose visits differ by this much must hardly ever be taken for a steady one. How they differ is
# known only from so many visits, so each limit is so many standard errors of the estimate on the safe side.
NOISY_VARIATION_RATIO: Final = 0.05
UNSTEADY_ERRORS: Final = 3.0
SHORT_VISITS: Final = 3
# What the median of the three is off, at least; it has to be beyond the baseline's reach as well.
SHORT_SPREADS: Final = 2.5
NEWEST_SPREADS: Final = 0.5  # what the visit is off after which a change is looked for
LONG_LIMIT: Final = 6.0
# A visit agrees with a change if it shows this share of it: one of three has to show more than one of a day.
SHORT_AGREES: Final = 0.3
LONG_AGREES: Final = 0.1
# Smaller changes are of no use to anybody, however certain they are.
MIN_CHANGE_RATIO: Final = 0.08
# A change of +20 % is smaller as a logarithm than one of -20 %, so it may have most of the false events.
SLOWER_SHARE: Final = 0.9
# Noise is not quite Gaussian: with fewer groups the limits don't get any lower.
GROUPS_MIN: Final = 8
_NO_NOISE: Final = Noise(0.0, 0.0, 0)


@dataclass(frozen=True, slots=True)
class Rate:
    """How often a series is visited, and what follows from it; numbers are of visits.

    A baseline begins to count after `baseline_min` and is complete after `baseline`. Until then medians are
    sought anew after every `learn_every`; later the noise of as many latest visits, not the centre, after
    every `noise_every`. More than `max_strays` in any `stray_window` are modes, not spikes.
    `false_events_a_year` is what all groups of a host of this rate may raise together. `steady_errors`: by
    how many standard errors visits have to differ by less than a noisy series' do, for a baseline to count;
    `doubtful_errors` as long as it has fewer than `doubtful` visits, or the series was noisy before: who
    looks often enough at a noisy series finds it steady once.
    """

    visits_a_year: int
    baseline_min: int
    doubtful: int
    baseline: int
    learn_every: int
    noise_every: int
    long_visits: int
    stray_window: int
    max_strays: int
    false_events_a_year: float
    steady_errors: float
    doubtful_errors: float


HOURLY: Final = Rate(
    visits_a_year=24 * 365,
    baseline_min=72,
    doubtful=168,
    baseline=336,
    learn_every=24,
    noise_every=48,
    long_visits=24,
    stray_window=336,
    max_strays=6,
    false_events_a_year=0.5,
    steady_errors=2.33,
    doubtful_errors=3.5,
)
# For what is visited about once a day: months of visits are too few to know the noise as well, so limits are
# higher, and a baseline is believed that is less sure to be steady.
DAILY: Final = Rate(
    visits_a_year=365,
    baseline_min=28,
    doubtful=28,
    baseline=56,
    learn_every=4,
    noise_every=7,
    long_visits=12,
    stray_window=84,
    max_strays=2,
    false_events_a_year=0.03,
    steady_errors=1.0,
    doubtful_errors=1.0,
)


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
    is_unsure: bool = False
    was_noisy: bool = False


def detect(visits: Iterable[Visit], groups: int = GROUPS_MIN, rate: Rate = HOURLY) -> Drift:
    """Fold a series, oldest first. Restart it (pass later visits only) when the machine itself changed."""
    detector = Detector(groups=groups, rate=rate)
    events = [event for visit in visits if (event := detector.add(visit)) is not None]
    return Drift(detector.state, tuple(events), detector.baseline)


class Detector:
    """The fold behind `detect`, one visit at a time; its state is a function of the visits alone.

    `groups` is how many series of the host are watched at this rate: they share the false events that it may
    have.
    """

    def __init__(self, memory: Memory | None = None, groups: int = GROUPS_MIN, rate: Rate = HOURLY) -> None:
        kept = memory or Memory()
        self.groups = groups
        self._rate = rate
        self._learned = list(kept.learned)
        self._recent = deque(kept.recent, rate.long_visits)  # (time, log) since the baseline counts
        self._latest = deque(kept.latest, rate.baseline)  # logs since it is complete
        self._strays = deque(kept.strays)  # numbers of the visits that were compared with the baseline
        self._compared = kept.compared
        self._left_out = deque(kept.left_out, rate.long_visits)
        self._baseline = kept.baseline
        self._noise = kept.noise
        self._is_noisy = kept.is_noisy
        self._is_unsure = kept.is_unsure  # the baseline may be noisy: more visits will tell
        self._was_noisy = kept.was_noisy  # since the last change, and not steady since
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
            self._is_unsure,
            self._was_noisy,
        )

    @property
    def state(self) -> State:
        """`noisy` where visits differ by too much, or each of them varies by too much: no alarm then.

        Nor is there one while `learning`: until the baseline has enough visits, and is sure not to be noisy.
        """
        if 2 * sum(self._left_out) > self._rate.long_visits:
            return "noisy"
        if self._differs_too_much():
            return "noisy"
        return "learning" if self._baseline is None or self._is_unsure else "stable"

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
            self._was_noisy = False
            return event
        if len(self._learned) < self._rate.baseline:
            self._learn(log)
        elif self._differs_too_much():
            # Neither spikes nor a change. Begin again, so that a series that calms down counts; until it has
            # been learnt anew, it stays what it was.
            self._restart([])
            self._is_noisy = self._was_noisy = True
        else:
            self._latest.append(log)
            self._unheard += 1
            if self._unheard >= self._rate.noise_every:
                self._look_at_noise(self._baseline)
        return None

    def _restart(self, logs: Sequence[float]) -> None:
        self._learned = list(logs)
        self._recent.clear()
        self._latest.clear()
        self._strays.clear()
        self._compared = 0
        self._baseline = None
        self._is_noisy = self._is_unsure = False
        self._unheard = 0

    def _learn(self, log: float) -> None:
        self._learned.append(log)
        number = len(self._learned)
        if number % self._rate.learn_every == 0 and number >= self._rate.baseline_min:
            self._baseline = learn(self._learned)
            self._look_at_noise(self._baseline)

    def _look_at_noise(self, baseline: Baseline) -> None:
        """How do visits differ by now, in the baseline and in the latest ones?

        A baseline that differs by more than a steady one can, given how little is known of it, is noisy; one
        that may still be either is unsure, until as many visits again have been seen. The two count together.
        """
        rate = self._rate
        self._unheard = 0
        self._noise = newest = baseline.noise
        if len(self._latest) >= rate.baseline_min:
            newest = noise_around_median(self._latest, baseline.weights)
            self._noise = pooled(self._noise, newest)
        unsteady = newest.spread > MAX_VARIATION_RATIO * math.exp(UNSTEADY_ERRORS * newest.relative_error)
        is_doubtful = self._was_noisy or baseline.visits < rate.doubtful
        errors = rate.doubtful_errors if is_doubtful else rate.steady_errors
        steady_limit = NOISY_VARIATION_RATIO * math.exp(-errors * self._noise.relative_error)
        is_steady = self._noise.spread <= steady_limit
        is_complete = self._noise.visits >= 2 * rate.baseline
        allowed = rate.max_strays * newest.visits / rate.stray_window + 1
        self._is_noisy = unsteady or newest.strays > allowed or (is_complete and not is_steady)
        self._is_unsure = not is_steady

    def _count_stray(self, is_stray: bool) -> None:
        self._compared += 1
        if is_stray:
            self._strays.append(self._compared)
        if self._strays and self._strays[0] <= self._compared - self._rate.stray_window:
            self._strays.popleft()

    def _differs_too_much(self) -> bool:
        """Do sound visits differ by too much? Others say nothing against the baseline."""
        return self._is_noisy or self._stray_count() > self._rate.max_strays

    def _stray_count(self) -> int:
        """Strays in the last window but for the latest three visits, which may begin a change."""
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
            limit = _limit(signal > 0, max(self.groups, GROUPS_MIN), self._noise.visits, self._rate)
            event = self._event(short[1:], signal / deviation, limit, SHORT_AGREES)
            if event is not None:
                return event
        number = self._rate.long_visits
        if len(above) == number:
            deviation = math.sqrt(CORRELATED / number * self._noise.spread**2 + uncertain)
            return self._event(above, sum(above) / number / deviation, LONG_LIMIT, LONG_AGREES)
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
def _limit(slower: bool, groups: int, noise_visits: int, rate: Rate) -> float:
    """How many deviations the short test asks for, where their size was learnt from so many visits.

    A quantile of Student's distribution, by its expansion (Abramowitz and Stegun 26.7.5, two terms).
    """
    share = SLOWER_SHARE if slower else 1 - SLOWER_SHARE
    chance = share * rate.false_events_a_year / (groups * rate.visits_a_year)
    normal = statistics.NormalDist().inv_cdf(1 - chance)
    freedom = FREEDOM_SHARE * noise_visits
    first = (normal**3 + normal) / (4 * freedom)
    return normal + first + (5 * normal**5 + 16 * normal**3 + 3 * normal) / (96 * freedom**2)
