"""What can be said of a matrix before anything is inferred: holes, nonsense, the clock's grain, spread."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from toposcope.matrix import Matrix

# A CPU of which less is known can't be placed; a matrix of which less is known says nothing.
MIN_KNOWN_SHARE_OF_CPU: Final = 0.2
MIN_KNOWN_SHARE: Final = 0.5
# A clock is taken for coarse if so many of all values are multiples of one step, that near.
ON_GRID_SHARE: Final = 0.9
ON_GRID_TOLERANCE: Final = 0.02
# Averages of ticks: so near to a multiple, so many of all values; then pairs, different values, multiples.
NEAR_TICK: Final = 0.1
ON_TICK_SHARE: Final = 0.98
_MIN_TICKED_PAIRS, _MAX_TICKED_VALUES, _MAX_TICKS, _MIN_MULTIPLES = 100, 40, 20, 4
# In a picosecond light travels 0.3 mm: no line gets from one CPU to another so fast.
LEAST_LATENCY_NS: Final = 1e-3

Values = Sequence[Sequence[float | None]]


@dataclass(frozen=True, slots=True)
class Clock:
    """How coarsely the latencies were read; 0.0 where nothing of it shows (`grain_ns`, `tick_ns`)."""

    grain_ns: float
    tick_ns: float


FINE: Final = Clock(0.0, 0.0)


def impossible_cells(matrix: Matrix) -> list[tuple[int, int]]:
    """The pairs of CPU ids whose latency is zero or less, or below a picosecond: coarse clock or junk."""
    return [
        (row_cpu, column_cpu)
        for row_cpu, row in zip(matrix.cpus, matrix.cells, strict=True)
        for column_cpu, cell in zip(matrix.cpus, row, strict=True)
        if cell is not None and cell < LEAST_LATENCY_NS
    ]


def placeable(values: Values) -> list[int]:
    """The positions of the CPUs of which enough pairs are known, ascending."""
    known = [sum(value is not None for value in row) for row in values]
    measured = sum(number > 0 for number in known)
    return [
        position
        for position, number in enumerate(known)
        if number and number >= MIN_KNOWN_SHARE_OF_CPU * (measured - 1)
    ]


def known_share(values: Values) -> float:
    """The share of pairs that are known, 0 for less than two CPUs."""
    count = len(values)
    known = sum(value is not None for row in values for value in row)
    return known / (count * (count - 1)) if count > 1 else 0.0


def grain_ns(matrix: Matrix) -> float:
    """The step in which the clock counts, where it shows; 0.0 where it is finer than the noise.

    It is the smallest distance between values that occur more than once, provided that nearly all values are
    multiples of it: two values of a fine clock that happen to be equal twice are no grid.
    """
    counts = Counter(
        round(cell, 6)
        for i, row in enumerate(matrix.cells)
        for j, cell in enumerate(row)
        if cell is not None and (i > j or matrix.cells[j][i] != cell)
    )
    repeated = sorted(value for value, number in counts.items() if number > 1)
    grain = min((above - below for below, above in pairwise(repeated)), default=0.0)
    if not grain:
        return 0.0
    steps = ((value / grain, number) for value, number in counts.items())
    on_grid = sum(number for value, number in steps if abs(value - round(value)) < ON_GRID_TOLERANCE)
    return grain if on_grid >= ON_GRID_SHARE * counts.total() else 0.0


def tick_ns(positive: Values) -> float:
    """The tick of a clock whose readings were averaged afterwards; 0.0 where none shows.

    Means of a few readings, each a whole number of ticks, lie near the multiples of a tick, not on them (5.0,
    5.3, 10.3, 10.7, 15.3 ns are one, two and three ticks of 5.2 ns). Few values may lie so by chance: there
    have to be many pairs, of several multiples, and next to nothing between.
    """
    known = (float(f"{cell:.3g}") for row in positive for cell in row if cell is not None)
    values = Counter(itertools.islice(known, 1_000))
    if len(values) <= _MAX_TICKED_VALUES:  # most clocks are fine, which shows at once
        values.update(known)
    if values.total() < _MIN_TICKED_PAIRS or len(values) > _MAX_TICKED_VALUES:
        return 0.0
    guesses = sorted({value / times for value in values for times in range(1, _MAX_TICKS)}, reverse=True)
    return next((guess for guess in guesses if _ticks(values, guess)), 0.0)


def _ticks(values: Counter[float], tick: float) -> bool:
    multiples = {round(value / tick) for value in values}
    near = sum(n for value, n in values.items() if abs(value / tick - round(value / tick)) <= NEAR_TICK)
    return 0 not in multiples and len(multiples) >= _MIN_MULTIPLES and near >= ON_TICK_SHARE * values.total()


def spread_ratio(values: Values) -> float:
    """The 95th percentile of all pairs as a multiple of the 5th; 1.0 for a single pair."""
    ordered = sorted(value for i, row in enumerate(values) for value in row[:i] if value is not None)
    return _quantile(ordered, 0.95) / _quantile(ordered, 0.05)


def _quantile(ordered: Sequence[float], share: float) -> float:
    position = share * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)
