"""Who is busy: from the counters' differences, the kernel's pressure, and a look of half a second."""

from __future__ import annotations

import asyncio
from collections import Counter, namedtuple

import psutil
import pytest

from toposcope.clock import SystemClock
from toposcope.measure.load import PRESSURE_RATIO_MAX, LoadMeter

_Times = namedtuple("_Times", "user nice system idle iowait irq softirq steal guest guest_nice")  # noqa: PYI024


class _Host(SystemClock):
    """A clock, and /proc/stat of some CPUs that count by it."""

    def __init__(self, busy_ratio: dict[int, float]) -> None:
        self.busy_ratio = busy_ratio
        self.now_s = 100.0
        self._busy_s: Counter[int] = Counter()

    def monotonic_s(self) -> float:
        return self.now_s

    def run(self, duration_s: float) -> None:
        """Let time pass."""
        self.now_s += duration_s
        for cpu, ratio in self.busy_ratio.items():
            self._busy_s[cpu] += duration_s * ratio  # type: ignore[assignment]

    def cpu_times(self, *, percpu: bool) -> list[_Times]:
        """What psutil.cpu_times gives."""
        assert percpu
        return [
            _Times(self._busy_s[cpu], 0, 0, self.now_s - self._busy_s[cpu], 0, 0, 0, 0.01 * cpu, 0, 0)
            for cpu in self.busy_ratio
        ]


def _meter(host: _Host, monkeypatch: pytest.MonkeyPatch, pressure: float | None = 0.0) -> LoadMeter:
    monkeypatch.setattr(psutil, "cpu_times", host.cpu_times)
    return LoadMeter(host, tuple(host.busy_ratio), lambda: pressure)


def test_a_cpu_is_busy_by_its_last_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    host = _Host({0: 0.9, 1: 0.2})
    meter = _meter(host, monkeypatch)
    assert not meter.is_busy((0, 1)), "nothing is known before an interval has passed"
    host.run(1.0)
    assert meter.busy_ratio(0) == pytest.approx(0.9)
    assert meter.is_busy((0,))
    assert meter.is_busy((1, 0))
    assert not meter.is_busy((1,))


@pytest.mark.parametrize(
    ("pressure", "busy"),
    [(PRESSURE_RATIO_MAX + 0.01, True), (PRESSURE_RATIO_MAX - 0.01, False), (None, False)],
)
def test_pressure_makes_every_cpu_one_to_leave_alone(
    monkeypatch: pytest.MonkeyPatch, pressure: float | None, busy: bool
) -> None:
    host = _Host({0: 0.1, 1: 0.1})
    meter = _meter(host, monkeypatch, pressure)
    host.run(1.0)
    assert meter.pressure_ratio == pressure
    assert meter.is_busy((0,)) is busy


def test_a_look_finds_who_is_busy_meanwhile_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    host = _Host({0: 0.9, 1: 0.1})
    meter = _meter(host, monkeypatch)
    host.run(60.0)
    host.busy_ratio = {0: 0.1, 1: 0.9}

    async def pass_time(duration_s: float) -> None:
        host.run(duration_s)

    monkeypatch.setattr(asyncio, "sleep", pass_time)
    assert asyncio.run(meter.look()) == {1}


def test_steal_is_summed_over_the_cpus_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = _meter(_Host(dict.fromkeys(range(4), 0.1)), monkeypatch)
    assert meter.steal_ms((1, 3, 9)) == pytest.approx(40.0)
