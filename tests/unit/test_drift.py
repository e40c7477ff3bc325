"""Drift: real steps are found quickly, and nothing else is taken for one."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import pytest

from toposcope.measure.baseline import learn, weights_for
from toposcope.measure.drift import DAILY, HOURLY, Detector, Drift, Memory, Visit, _limit, detect

DAY = 24
SETTLED = 14 * DAY


def series(
    seed: int, count: int, *, spread: float = 0.04, autocorrelation: float = 0.5,
    change: Callable[[int], float] = lambda _: 1.0,
) -> list[Visit]:  # fmt: skip
    """Hourly visits at 40 ns with correlated noise, times `change(index)`."""
    rng = Random(seed)
    value = rng.gauss(0, spread)
    visits = []
    for index in range(count):
        visits.append(Visit(3600.0 * index, 40 * math.exp(value) * change(index), 0.02))
        value = autocorrelation * value + rng.gauss(0, spread * math.sqrt(1 - autocorrelation**2))
    return visits


def step(ratio: float, at: int = SETTLED) -> Callable[[int], float]:
    return lambda index: ratio if index >= at else 1.0


def visits_until_found(visits: list[Visit], at: int) -> int:
    detector = Detector()
    for index, visit in enumerate(visits):
        event = detector.add(visit)
        if index >= at and event is not None:
            return index - at + 1
    return len(visits)


@pytest.mark.parametrize("ratio", [1.2, 1.5, 0.8])
@pytest.mark.parametrize("autocorrelation", [0.0, 0.5])
def test_steps_of_a_fifth_are_found_within_three_visits_at_the_worst_admitted_noise(
    ratio: float, autocorrelation: float
) -> None:
    runs = 100
    found = sum(
        visits_until_found(
            series(seed, SETTLED + 3, autocorrelation=autocorrelation, change=step(ratio)), SETTLED
        ) <= 3
        for seed in range(runs)
    )  # fmt: skip
    # 95 % is asked for; three standard errors of these runs below it.
    assert found / runs >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / runs)


def test_a_tenth_is_found_within_a_day_when_visits_agree_well() -> None:
    late = [seed for seed in range(50)
            if visits_until_found(series(seed, SETTLED + DAY, spread=0.02, change=step(1.1)), SETTLED) > DAY]  # fmt: skip
    assert len(late) <= 2


def test_the_event_says_what_changed_when_and_how_sure_it_is() -> None:
    drift = detect(series(3, 2 * SETTLED, spread=0.01, change=step(1.5)))
    (event,) = drift.events
    assert event.time_s == 3600.0 * SETTLED
    assert event.before == pytest.approx(40, rel=0.03)
    assert event.after == pytest.approx(60, rel=0.05)
    assert event.ratio_low < event.ratio < event.ratio_high
    assert event.ratio == pytest.approx(1.5, rel=0.05)
    assert "3 visits" in event.evidence
    assert drift.baseline == pytest.approx(60, rel=0.03)
    assert drift.state == "stable"


def test_quiet_series_stay_quiet() -> None:
    """The full rate (30,000 host-days) is in docs/drift.md; this is what seconds can tell."""
    events = [detect(series(seed, 90 * DAY)).events for seed in range(20)]
    assert sum(map(len, events)) == 0


def test_spikes_are_no_change() -> None:
    rng = Random(8)
    spikes = {index for index in range(90 * DAY) if rng.random() < 0.005}
    drift = detect(series(1, 90 * DAY, spread=0.02, change=lambda index: 2.0 if index in spikes else 1.0))
    assert drift.events == ()


def test_two_bad_visits_in_a_row_are_no_change() -> None:
    bad = {SETTLED, SETTLED + 1}
    assert detect(series(5, 2 * SETTLED, change=lambda i: 1.6 if i in bad else 1.0)).events == ()


def test_a_ramp_is_found_in_the_end() -> None:
    ramp = detect(series(2, 60 * DAY, spread=0.02,
                         change=lambda index: 1 + 0.01 * min(30, max(0, index - SETTLED) / DAY)))  # fmt: skip
    assert ramp.events
    assert all(event.ratio > 1 for event in ramp.events)


@pytest.mark.parametrize("spread", [0.07, 0.16])
def test_a_noisy_series_can_not_alarm(spread: float) -> None:
    drift = detect(series(4, 60 * DAY, spread=spread, change=step(1.5, 30 * DAY)))
    assert drift.events == ()
    assert drift.state == "noisy"


def test_four_per_cent_are_steady_after_four_weeks_and_five_hardly_ever() -> None:
    """docs/drift.md has the shares; of so few series, one may be an exception."""
    after = 28 * DAY
    steady = [detect(series(seed, after, spread=0.04)).state for seed in range(30)]
    noisy = [detect(series(seed, after, spread=0.05)).state for seed in range(30)]
    assert steady.count("stable") >= 29
    assert noisy.count("stable") <= 1


def test_who_looks_often_at_a_noisy_series_hardly_ever_finds_it_steady() -> None:
    """One in twelve is within eight weeks (docs/drift.md), one in three where each look asks for the same."""

    def ever_steady(visits: list[Visit]) -> bool:
        detector = Detector()
        return any(detector.add(visit) is not None or detector.state == "stable" for visit in visits)

    assert sum(ever_steady(series(seed, 56 * DAY, spread=0.05)) for seed in range(30)) <= 6


def test_a_series_that_was_noisy_is_believed_later_than_another() -> None:
    fresh, known = Detector(), Detector(Memory(was_noisy=True))
    for visit in series(3, SETTLED, spread=0.044, autocorrelation=0.0):
        fresh.add(visit)
        known.add(visit)
    assert (fresh.state, known.state) == ("stable", "learning")


def test_a_series_that_may_be_noisy_is_learnt_for_longer_and_can_not_alarm_meanwhile() -> None:
    early = series(12, 5 * DAY, spread=0.045, autocorrelation=0.0, change=step(1.5, 4 * DAY))
    assert detect(early[: 4 * DAY]).state == "learning"
    assert detect(early).events == ()


def test_a_daily_series_finds_a_fifth_within_a_week() -> None:
    settled = 84
    late = [
        seed for seed in range(50)
        if _days_until_found(series(seed, settled + 7, spread=0.03, autocorrelation=0.0,
                                    change=step(1.2, settled)), settled) > 7
    ]  # fmt: skip
    assert len(late) <= 2
    assert sum(len(detect(series(seed, 365, spread=0.03), rate=DAILY).events) for seed in range(20)) <= 1


def _days_until_found(visits: list[Visit], at: int) -> int:
    detector = Detector(rate=DAILY)
    for index, visit in enumerate(visits):
        if detector.add(visit) is not None and index >= at:
            return index - at + 1
    return len(visits)


def moving(seed: int, count: int, share: float) -> list[Visit]:
    rng = Random(seed)
    where = [26 / 9 if rng.random() < share else 1.0 for _ in range(count)]
    return series(seed, count, spread=0.02, change=where.__getitem__)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_moving_vcpus_are_noise(share: float) -> None:
    drifts: list[Drift] = [detect(moving(seed, 30 * DAY, share)) for seed in range(5)]
    assert sum(len(drift.events) for drift in drifts) == 0


def test_visits_that_vary_too_much_count_for_nothing_and_where_most_do_the_series_is_noisy() -> None:
    calm = series(6, SETTLED, spread=0.03)
    wild = [Visit(visit.time_s, 2 * visit.estimate, 0.05) for visit in series(7, 100, spread=0.03)]
    assert detect([*calm, *wild[:12]]) == detect(calm)
    whole = detect([*calm, *wild])
    assert (whole.events, whole.baseline) == ((), detect(calm).baseline)
    assert whole.state == "noisy"
    again = series(8, DAY, spread=0.03)
    assert detect([*calm, *wild, *again]).state == "stable"


@pytest.mark.parametrize("share", [0.03, 0.06, 0.12])
def test_a_second_value_near_the_first_one_is_no_change(share: float) -> None:
    """Visits that now and then read a tenth more come in threes as well, in the course of months."""
    rng = Random(11)
    lump = [1.1 if rng.random() < share else 1.0 for _ in range(120 * DAY)]
    for seed in range(3):
        visits = series(seed, 120 * DAY, spread=0.012, autocorrelation=0.0, change=lump.__getitem__)
        assert detect(visits).events == ()


def test_weights_are_the_matched_filter() -> None:
    assert weights_for(0.0) == (0.0, 1.0, 1.0, 1.0)
    assert weights_for(0.5) == (-0.5, 0.75, 0.25, 0.5)


@pytest.mark.parametrize("autocorrelation", [0.0, 0.3, 0.5])
def test_a_baseline_knows_the_noise_that_it_was_learnt_from(autocorrelation: float) -> None:
    logs = [math.log(visit.estimate) for visit in series(3, 4000, autocorrelation=autocorrelation)]
    found = learn(logs)
    assert math.exp(found.centre) == pytest.approx(40, rel=0.01)
    assert found.noise.spread == pytest.approx(0.04, rel=0.05)
    assert found.noise.strays <= 8
    assert -found.weights[0] == pytest.approx(autocorrelation, abs=0.05)
    assert found.reach[0] == pytest.approx(found.reach[1], rel=0.2)
    below, above = (
        sum(sign * (log - found.centre) > found.reach[sign > 0] for log in logs) for sign in (-1, 1)
    )
    assert max(below, above) <= 0.006 * len(logs)


def test_more_groups_ask_for_more_certainty_and_fewer_than_eight_for_no_less() -> None:
    limits = [_limit(True, groups, 336, HOURLY) for groups in (8, 16, 24)]
    assert limits == sorted(limits)
    assert _limit(True, 8, 336, HOURLY) < _limit(False, 8, 336, HOURLY)
    assert _limit(True, 8, 72, HOURLY) > _limit(True, 8, 672, HOURLY)
    visits = series(3, SETTLED + 3, change=step(1.2))
    assert detect(visits, groups=1) == detect(visits, groups=8)


def test_nothing_is_said_before_there_is_a_baseline() -> None:
    assert detect([]) == Drift("learning", (), None)
    assert detect(series(1, 71)).state == "learning"
    assert detect(series(1, 71, change=step(3.0, 36))).events == ()


def test_visits_one_at_a_time_are_the_same_as_all_at_once() -> None:
    visits = series(9, 2 * SETTLED, change=step(1.3))
    detector = Detector()
    events = tuple(event for visit in visits if (event := detector.add(visit)))
    assert detect(visits) == Drift(detector.state, events, detector.baseline)
