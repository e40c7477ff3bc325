"""Modes: found where vCPUs move, and not found in mere spread, in lines, or in a lone outlier."""

from __future__ import annotations

import random

import pytest

from toposcope.measure.modes import Modes, Observation, find
from toposcope.results import Estimate


def _observe(values: list[float], interval_s: float = 3.0) -> list[Observation]:
    return [Observation(i * interval_s, Estimate(v, v, v, v, v, v, 0.0)) for i, v in enumerate(values)]


def _values(found: Modes) -> list[float]:
    return [mode.value.estimate for mode in found.modes]


def _moving(chooser: random.Random, visits: int, spread: float) -> list[float]:
    """A pair whose vCPUs move every few visits between SMT sibling, same L3, other L3 (9, 26, 109 ns)."""
    values, place = [], 26.0
    for _ in range(visits):
        if chooser.random() < 0.4:
            place = chooser.choice([9.0, 26.0, 109.0])
        values.append(place * chooser.gauss(1, spread))
    return values


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("spread", [0.01, 0.04])
def test_moving_vcpus_show_as_three_modes_in_ascending_order(seed: int, spread: float) -> None:
    values = _moving(random.Random(seed), 64, spread)
    found = find(_observe(values))
    assert _values(found) == pytest.approx([9.0, 26.0, 109.0], rel=0.05)
    assert sum(mode.share for mode in found.modes) == pytest.approx(1.0)
    assert found.switches_per_hour_at_least <= found.visits_per_hour


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("spread", [0.01, 0.05, 0.1])
def test_a_pair_that_stays_has_one_mode_however_it_spreads(seed: int, spread: float) -> None:
    chooser = random.Random(seed)
    values = [26.0 * chooser.lognormvariate(0, spread) for _ in range(40)]
    assert len(find(_observe(values)).modes) == 1


def test_a_lone_outlier_is_a_stray_and_no_mode() -> None:
    found = find(_observe([26.0, 26.2, 25.9, 26.1, 26.0, 109.0, 26.3, 26.1]))
    assert _values(found) == pytest.approx([26.05], rel=0.01)
    assert found.stray_share == pytest.approx(1 / 8)


def test_two_visits_that_differ_are_not_yet_two_modes() -> None:
    assert len(find(_observe([26.0, 109.0])).modes) == 1
    assert len(find(_observe([26.0, 109.0, 26.5, 110.0])).modes) == 2


def test_the_rate_of_switches_is_a_lower_bound_from_what_was_seen() -> None:
    found = find(_observe([26.0, 26.0, 109.0, 109.0, 26.0, 26.0], interval_s=600.0))
    assert found.switches_per_hour_at_least == pytest.approx(2 / (5 * 600 / 3600))
    assert found.visits_per_hour == pytest.approx(6.0)


def test_no_visit_has_no_mode() -> None:
    assert find([]) == Modes((), 0.0, 0.0, 0.0)


def test_a_series_with_zeros_is_one_mode() -> None:
    """Nothing has a ratio to zero; a CPU from which nothing is taken has zeros for good. Found by fuzzing."""
    assert len(find(_observe([0.0] * 8 + [3.0] * 8)).modes) == 1
    assert len(find(_observe([1e-9] * 8 + [3.0] * 8)).modes) == 2
