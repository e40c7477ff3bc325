"""A result over time: each visit a dot with its interval, its modes as dashed lines; pure.

Times are UTC and say so: one picture is looked at from several time zones.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from toposcope.render import svg
from toposcope.units import format_value, split_unit

_LEFT: Final = 74
_TOP: Final = 44
_PLOT_WIDTH: Final = 600
_PLOT_HEIGHT: Final = 150
_RIGHT: Final = 110
_TICK_STEPS_S: Final = (1, 5, 15, 60, 300, 900, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 86_400, 2 * 86_400,
                        7 * 86_400, 30 * 86_400)  # fmt: skip
_TICKS_MAX: Final = 7
_DYNAMIC_RANGE_MAX: Final = 1e9


@dataclass(frozen=True, slots=True)
class Point:
    """One visit: its time in seconds since the epoch, its estimate and 95 % interval."""

    time_s: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Line:
    """A value that the points return to, with its name."""

    value: float
    label: str


def history_svg(
    points: Sequence[Point], title: str, measure: str, lines: Sequence[Line] = (), *, standalone: bool = True
) -> str:
    """The plot of a measure (its name ends in the unit), ending in a newline.

    The value axis is logarithmic where values differ more than 20-fold, and begins at 0 elsewhere.
    """
    body = [svg.text(12, 22, title, "head")]
    if not points:
        body.append(svg.text(12, 60, "no visits in this time", "soft"))
        label = f"{title}: no visits in this time"
    else:
        plot = _Plot(points, lines, measure)
        body += [*plot.values(), *plot.times(), *plot.lines(lines), *plot.dots()]
        values = [point.value for point in points]
        low, high = format_value(measure, min(values)), format_value(measure, max(values))
        label = f"{title}: {len(points)} visits, {low} to {high}"
    width, height = _LEFT + _PLOT_WIDTH + _RIGHT, _TOP + _PLOT_HEIGHT + 44
    return svg.document(width, height, label, body, standalone=standalone)


class _Plot:
    def __init__(self, points: Sequence[Point], lines: Sequence[Line], measure: str) -> None:
        self._points = points
        self._measure = measure
        values = [point.value for point in points] + [line.value for line in lines]
        low, high = min(values), max(values)
        self._logarithmic = low > 0 and high / low > 20
        if self._logarithmic:
            low = max(low, high / _DYNAMIC_RANGE_MAX)
            self._low, self._high = math.log10(low / 1.2), math.log10(high * 1.2)
        else:
            # From 0, so that a change of a few per cent looks like one.
            self._low, self._high = min(0.0, low * 1.1), max(high * 1.15, low + 1e-9)
        first, last = points[0].time_s, points[-1].time_s
        for point in points:
            first, last = min(first, point.time_s), max(last, point.time_s)
        self._first = first if last > first else first - 30
        self._last = last if last > first else last + 30

    def _x(self, time_s: float) -> float:
        return _LEFT + _PLOT_WIDTH * (time_s - self._first) / (self._last - self._first)

    def _y(self, value: float) -> float:
        at = math.log10(max(value, 1e-300)) if self._logarithmic else value
        share = min(max((at - self._low) / (self._high - self._low), 0.0), 1.0)
        return _TOP + _PLOT_HEIGHT * (1 - share)

    def values(self) -> Iterator[str]:
        """The value axis."""
        for value in self._value_ticks():
            y = self._y(value)
            yield f'<path class="line" d="M{_LEFT} {y:.1f}h{_PLOT_WIDTH}"/>'
            yield svg.text(_LEFT - 8, round(y + 4, 1), format_value(self._measure, value), "soft end")

    def _value_ticks(self) -> list[float]:
        if self._logarithmic:
            exponents = range(math.floor(self._low), math.ceil(self._high) + 1)
            ticks = [digit * 10.0**exponent for exponent in exponents for digit in (1, 2, 5)]
            return [tick for tick in ticks if self._low <= math.log10(tick) <= self._high]
        raw = (self._high - self._low) / 4
        magnitude = self._magnitude(raw)
        step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= raw)
        first = math.ceil(self._low / step)
        return [index * step for index in range(first, first + 10) if index * step <= self._high]

    def _magnitude(self, raw: float) -> float:
        """The largest power of ten that is not above `raw`, counted in KiB, MiB … where these are shown."""
        unit = 1.0
        if split_unit(self._measure)[1] in ("bytes", "bytes_per_s") and self._high >= 1024:
            unit = 1024.0 ** math.floor(math.log(self._high, 1024))
        return unit * 10.0 ** math.floor(math.log10(raw / unit))

    def times(self) -> Iterator[str]:
        """The time axis: at most seven ticks at whole minutes, hours or days."""
        span = self._last - self._first
        step = next((step for step in _TICK_STEPS_S if span / step <= _TICKS_MAX), span / _TICKS_MAX)
        pattern = "%H:%M:%S" if step < 60 else "%H:%M" if step < 43_200 else "%d %b"
        bottom = _TOP + _PLOT_HEIGHT
        for index in range(math.ceil(self._first / step), math.floor(self._last / step) + 1):
            x = self._x(index * step)
            yield f'<path class="line" d="M{x:.1f} {bottom}v5"/>'
            yield svg.text(round(x, 1), bottom + 18, _utc(index * step, pattern), "soft mid")
        day = _utc(self._first, "%d %b %Y")
        yield svg.text(_LEFT, bottom + 36, f"UTC, from {day} {_utc(self._first, '%H:%M')}", "soft")

    def lines(self, lines: Sequence[Line]) -> Iterator[str]:
        """The modes."""
        for line in lines:
            y = self._y(line.value)
            yield f'<path class="mark" d="M{_LEFT} {y:.1f}h{_PLOT_WIDTH}"/>'
            yield svg.text(_LEFT + _PLOT_WIDTH + 6, round(y + 4, 1), line.label)

    def dots(self) -> Iterator[str]:
        """The visits: intervals as one path, dots with a tooltip each."""
        bars = "".join(
            f"M{self._x(point.time_s):.1f} {self._y(point.low):.1f}V{self._y(point.high):.1f}"
            for point in self._points
        )
        yield f'<path class="series thin" d="{bars}"/>'
        for point in self._points:
            when = _utc(point.time_s, "%d %b %H:%M:%S")
            said = format_value(self._measure, point.value)
            yield (f'<circle class="dot" cx="{self._x(point.time_s):.1f}" cy="{self._y(point.value):.1f}" '
                   f'r="2.5"><title>{when}: {said}</title></circle>')  # fmt: skip


def _utc(time_s: float, pattern: str) -> str:
    return datetime.datetime.fromtimestamp(time_s, datetime.UTC).strftime(pattern)
