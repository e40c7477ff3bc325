"""Drift on recorded visits: steps, ramps and spikes put into their noise are told apart, moves raise no alarm."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from generators.traces import read_trace
from toposcope.measure.drift import Drift, Visit, detect

_TRACES = sorted((Path(__file__).resolve().parents[1] / "traces").glob("placement_*.json"))
_DAY = 24
_SETTLED = 14 * _DAY
_PIECE = 4  # visits that are kept in their recorded order


def _recorded() -> list[tuple[str, list[float]]]:
    """(name, logarithms of the sound visits) of every recorded result with enough of them."""
    found = []
    for path in _TRACES:
        trace = read_trace(path)
        for each in trace.results:
            logs = [math.log(visit.measures[each.measure].estimate)
                    for visit in each.visits if visit.verdict == "ok"]  # fmt: skip
            if len(logs) >= 2 * _PIECE:
                name = f"{path.stem}-{each.identity.probe}-{each.identity.variant['model']}"
                found.append((name, logs))
    return found


_ALL = _recorded()


def _noise(logs: list[float]) -> list[float]:
    """How visits differ in the place where the pair was seen most often."""
    centre = statistics.mode(round(log * 4) for log in logs) / 4
    near = [log for log in logs if abs(log - centre) < math.log(1.3)]
    middle = statistics.median(near)
    return [log - middle for log in near if abs(log - middle) < math.log(1.15)]


def _series(
    logs: list[float], count: int, seed: int, change: Callable[[int], float] = lambda _: 1.0
) -> list[Visit]:
    """Hourly visits made of recorded pieces, times `change(index)`."""
    rng = Random(seed)
    values: list[float] = []
    while len(values) < count:
        start = rng.randrange(max(1, len(logs) - _PIECE + 1))
        values += logs[start : start + _PIECE]
    return [Visit(3600.0 * index, 26 * math.exp(value) * change(index), 0.02)
            for index, value in enumerate(values[:count])]  # fmt: skip


def _with(logs: list[float], seed: int, change: Callable[[int], float], days: int = 20) -> Drift:
    return detect(_series(_noise(logs), days * _DAY, seed, change))


@pytest.mark.parametrize(("name", "logs"), _ALL, ids=[name for name, _ in _ALL])
class TestRecorded:
    @pytest.mark.parametrize("ratio", [1.2, 1.5, 0.8])
    def test_a_step_is_one_event_of_its_size_within_three_visits(
        self, name: str, logs: list[float], ratio: float
    ) -> None:
        spread = statistics.pstdev(_noise(logs))
        assert spread <= 0.04, name
        for seed in range(5):
            found = detect(
                _series(_noise(logs), _SETTLED + 3, seed, lambda i: ratio if i >= _SETTLED else 1.0)
            )
            (event,) = found.events
            assert event.ratio == pytest.approx(ratio, rel=0.06)
            assert event.ratio_low < ratio < event.ratio_high
            assert abs(event.time_s / 3600 - _SETTLED) <= 1

    def test_a_step_of_a_tenth_is_found_within_a_day_where_visits_agree(
        self, name: str, logs: list[float]
    ) -> None:
        if statistics.pstdev(_noise(logs)) > 0.02:
            pytest.skip(f"{name}: its visits differ by more than 2 %")
        found = _with(logs, 1, lambda i: 1.1 if i >= _SETTLED else 1.0, 15)
        assert [round(event.ratio, 1) for event in found.events] == [1.1]

    def test_a_ramp_is_found_in_the_end(self, name: str, logs: list[float]) -> None:
        found = _with(logs, 2, lambda i: 1 + 0.01 * min(30, max(0, i - _SETTLED) / _DAY), 60)
        assert found.events, name
        assert all(event.ratio > 1 for event in found.events)

    def test_spikes_are_no_change(self, name: str, logs: list[float]) -> None:
        spikes = {index for index in range(60 * _DAY) if Random(f"{name} {index}").random() < 0.005}
        assert _with(logs, 3, lambda i: 2.0 if i in spikes else 1.0, 60).events == ()

    def test_quiet_time_is_quiet(self, name: str, logs: list[float]) -> None:
        assert _with(logs, 4, lambda _: 1.0, 90).events == (), name


def test_recorded_moves_raise_no_alarm() -> None:
    for name, logs in _ALL:
        if max(logs) - min(logs) > math.log(1.5):
            found = detect(_series(logs, 60 * _DAY, 5))
            assert found.events == (), name
            assert found.state != "stable", name
