"""What a matrix tells of each pair of CPUs, whichever of its directions were measured.

Of 512 CPUs there are 131,000 pairs, so whole rows are handled here and no cell by itself: a column is every
n-th cell of all rows behind each other, and a missing value shows where the least of a row is asked for.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import compress
from operator import add, itemgetter
from typing import Final, cast

from toposcope.advise.effects import Pair
from toposcope.matrix import Matrix

LowerRow = Sequence[float | None]

_ERROR_STEPS: Final = (1, 3, 8, 21, 55)  # the pairs (i, i + step) are enough to tell the error


def lower_rows(matrix: Matrix | None, cpus: Sequence[int]) -> list[LowerRow]:
    """Row a holds the pairs (a, b) of positions in `cpus` with b < a, in ns.

    A pair is the mean of both directions, else the one that was measured, else None.
    """
    if matrix is None:
        return [(None,) * index for index in range(len(cpus))]
    cells = matrix.cells if tuple(cpus) == matrix.cpus else _selected(matrix, cpus)
    flat: list[float | None] = []
    for row in cells:
        flat += row
    return [_means(row[:at], tuple(flat[at : at * len(cpus) : len(cpus)])) for at, row in enumerate(cells)]


def complete_rows(lower: Sequence[LowerRow]) -> list[list[float]] | None:
    """Square rows with 0 on the diagonal, where every pair is known and positive; else None."""
    try:
        if any(min(cast("Sequence[float]", row)) <= 0 for row in lower[1:]):
            return None
    except TypeError:  # None can't be compared
        return None
    count = len(lower)
    flat: list[float] = []
    for index, row in enumerate(lower):
        flat += cast("Sequence[float]", row)
        flat += [0.0] * (count - index)
    return [
        flat[at * count : at * count + at + 1] + flat[(at + 1) * count + at :: count] for at in range(count)
    ]


def known_pairs(lower: Sequence[LowerRow]) -> tuple[list[Pair], int]:
    """The pairs (a, b, ns) that are known and positive, and how many are known but not positive."""
    # compress() drops what is missing and what is 0.
    pairs = [(a, b, cast("float", row[b])) for a, row in enumerate(lower) for b in compress(range(a), row)]
    positive = [pair for pair in pairs if pair[2] > 0]
    known = sum(len(row) - row.count(None) for row in lower)
    return positive, known - len(positive)


def error_of_directions(matrix: Matrix | None) -> float | None:
    """The relative error of a pair's mean, from how its two directions differ; None without both, and where
    they are equal: then one was copied from the other, or both were rounded.

    1.4826 · median makes a robust standard deviation; half of the difference is the error of the mean.
    """
    if matrix is None:
        return None
    differences: list[float] = []
    for step in _ERROR_STEPS:
        there = [row[at] for at, row in enumerate(matrix.cells[:-step], step)]
        back = [row[at] for at, row in enumerate(matrix.cells[step:])]
        differences += [
            abs(one - other) / (one + other) for one, other in zip(there, back, strict=True)
            if one is not None and other is not None and one + other > 0
        ]  # fmt: skip
    return (1.4826 * statistics.median(differences) or None) if differences else None


def _means(there: LowerRow, back: LowerRow) -> LowerRow:
    """The usual cases, both directions equal or complete or one of them absent, are quick."""
    if there == back or _is_absent(back):
        return there
    if _is_absent(there):
        return back
    try:
        sums = map(add, cast("Sequence[float]", there), cast("Sequence[float]", back))
        return [0.5 * both for both in sums]
    except TypeError:  # a direction is missing somewhere
        both = zip(there, back, strict=True)
        return [b if a is None else a if b is None else (a + b) / 2 for a, b in both]


def _is_absent(row: LowerRow) -> bool:
    """Whether nothing was measured; the first cell mostly tells."""
    return row[0] is None and row.count(None) == len(row)


def _selected(matrix: Matrix, cpus: Sequence[int]) -> list[tuple[float | None, ...]]:
    position = {cpu: index for index, cpu in enumerate(matrix.cpus)}
    absent = len(matrix.cpus)
    indices = [position.get(cpu, absent) for cpu in cpus]
    pick = itemgetter(*indices, absent)
    nothing = (None,) * (absent + 1)
    return [pick((*matrix.cells[index], None) if index < absent else nothing)[:-1] for index in indices]
