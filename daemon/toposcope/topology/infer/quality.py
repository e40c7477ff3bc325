"""What can be said of a matrix before anything is inferred: holes, nonsense, the clock's grain, spread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from toposcope.matrix import Matrix

# A CPU of which less is known can't be placed; a matrix of which less is known says nothing.
MIN_KNOWN_SHARE_OF_CPU: Final = 0.2
MIN_KNOWN_SHARE: Final = 0.5
# A clock is taken for coarse if so many of all values are multiples of one step, that near.
ON_GRID_SHARE: Final = 0.9
ON_GRID_TOLERANCE: Final = 0.02
# In a picosecond light travels 0.3 mm: no line gets from one CPU to another so fast.
LEAST_LATENCY_NS: Final = 1e-3

Values = Sequence[Sequence[float | None]]


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


def spread_ratio(values: Values) -> float:
    """The 95th percentile of all pairs as a multiple of the 5th; 1.0 for a single pair."""
    ordered = sorted(value for i, row in enumerate(values) for value in row[:i] if value is not None)
    return _quantile(ordered, 0.95) / _quantile(ordered, 0.05)


def _quantile(ordered: Sequence[float], share: float) -> float:
    position = share * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)
