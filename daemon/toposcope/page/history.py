"""Visits over time, thinned to what a plot can show; pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Final

from toposcope.render.history_svg import Line, Point
from toposcope.results import Result, Visit
from toposcope.units import format_value

POINTS_MAX: Final = 500


def points_of(visits: Iterable[Visit], measure: str, since_s: float = 0.0) -> list[Point]:
    """The visits from `since_s` on that have a value of `measure`, in order of time, at most POINTS_MAX."""
    points = [
        Point(visit.time_s, found.estimate, found.low, found.high)
        for visit in visits
        if visit.time_s >= since_s and (found := visit.measures.get(measure)) is not None
    ]
    return _thinned(sorted(points, key=lambda point: point.time_s))


def _thinned(points: Sequence[Point]) -> list[Point]:
    """Neighbouring points joined: their median, and the hull of their intervals, so that no peak is lost."""
    size = -(-len(points) // POINTS_MAX)
    if size <= 1:
        return list(points)
    return [_joined(points[start : start + size]) for start in range(0, len(points), size)]


def _joined(points: Sequence[Point]) -> Point:
    return Point(
        statistics.median(point.time_s for point in points),
        statistics.median(point.value for point in points),
        min(point.low for point in points),
        max(point.high for point in points),
    )


def mode_lines(result: Result) -> list[Line]:
    """The result's modes as lines with their share of the visits."""
    if len(result.modes) < 2:
        return []
    values = [(mode.value.estimate, mode.share) for mode in result.modes]
    return [Line(value, f"{format_value(result.primary, value)} ({share:.0%})") for value, share in values]
