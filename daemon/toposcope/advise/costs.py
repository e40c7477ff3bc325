"""What each pair of usable CPUs costs, from the evidence: measured, completed from a sample, or only
declared.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress, pairwise
from operator import add, itemgetter
from typing import Final, Literal, cast

from toposcope.advise.facts import Evidence
from toposcope.advise.layout import Layout, layout_of
from toposcope.advise.smooth import smoothed
from toposcope.matrix import Matrix

Basis = Literal["measured", "sampled", "declared"]

# Of one value, where nothing tells it: not more, or a set that is really nearer would be taken for noise.
ASSUMED_ERROR_RATIO: Final = 0.01
_ERROR_STEPS: Final = (1, 3, 8, 21, 55)  # the pairs (i, i + step) are enough to tell the error
_OptionalRow = Sequence[float | None]


@dataclass(frozen=True)
class PairCosts:
    """`rows[i][j]`: ns between positions i and j of `layout` (ranks of levels where the basis is declared).

    `measured_ratio` is the share of pairs that were measured; `unmeasured_relations` those without any;
    `unusable_pairs` counts values of zero or less, which only a clock too coarse can give.
    """

    layout: Layout
    rows: Sequence[Sequence[float]]
    basis: Basis
    measured_ratio: float
    error_ratio: float
    error_is_known: bool
    unmeasured_relations: tuple[str, ...] = ()
    unusable_pairs: int = 0


def pair_costs(evidence: Evidence, cpus: Sequence[int], *, rows_wanted: bool = True) -> PairCosts:
    """The costs between `cpus` (ascending ids); `rows` are empty where not wanted, which is quicker."""
    layout = layout_of(evidence.machine, cpus)
    known, unusable = _known_rows(evidence.matrix, cpus)
    missing = sum(row.count(None) for row in known) - len(cpus)  # the diagonal is never measured
    error = evidence.matrix_error_ratio
    if error is None:
        error = _error_of_directions(evidence.matrix)
    total = len(cpus) * (len(cpus) - 1)
    if total and not missing:
        # Nothing is missing but the diagonal, which becomes 0; looking at each cell again would cost 10 ms.
        complete = enumerate(known if rows_wanted else ())
        rows = [cast("list[float]", [*row[:index], 0.0, *row[index + 1 :]]) for index, row in complete]
        return PairCosts(layout, rows, "measured", 1.0, *_or_assumed(error), unusable_pairs=unusable)
    pairs = _pairs(known)
    return PairCosts(
        layout,
        smoothed(layout, pairs) if rows_wanted else (),
        "sampled" if pairs else "declared",
        2 * len(pairs) / total if total else 0.0,
        *_or_assumed(error),
        unmeasured_relations=_unmeasured(layout, pairs) if pairs else (),
        unusable_pairs=unusable,
    )


def _pairs(known: Sequence[_OptionalRow]) -> list[tuple[int, int, float]]:
    """The measured pairs (a, b, ns) with b < a; all values are positive."""
    return [(a, b, cast("float", row[b])) for a, row in enumerate(known) for b in compress(range(a), row)]


def _or_assumed(error_ratio: float | None) -> tuple[float, bool]:
    return (ASSUMED_ERROR_RATIO, False) if error_ratio is None else (error_ratio, True)


def _known_rows(matrix: Matrix | None, cpus: Sequence[int]) -> tuple[list[_OptionalRow], int]:
    """Rows in the order of `cpus`, both directions averaged, and how many values were not positive."""
    if matrix is None:
        return [(None,) * len(cpus) for _ in cpus], 0
    rows = [
        _means(index, *both) for index, both in enumerate(zip(matrix.cells, _columns(matrix), strict=True))
    ]
    if tuple(cpus) != matrix.cpus:
        rows = _selected(rows, matrix.cpus, cpus)
    unusable = 0
    for index, row in enumerate(rows):
        if _has_unusable(row):
            rows[index] = [ns if ns is not None and ns > 0 else None for ns in row]
            unusable += rows[index].count(None) - row.count(None)
    return rows, unusable // 2


def _has_unusable(row: _OptionalRow) -> bool:
    """Whether a measured value is not positive."""
    known = list(filter(None, row))  # neither None nor 0
    return len(known) + row.count(None) < len(row) or min(known, default=1.0) <= 0


def _columns(matrix: Matrix) -> list[_OptionalRow]:
    return list(zip(*matrix.cells, strict=True))


def _means(index: int, there: _OptionalRow, back: _OptionalRow) -> _OptionalRow:
    """Row `index`; the usual cases, both directions equal or complete or one of them absent, are quick."""
    if there == back:
        return there
    before, behind = there[:index], there[index + 1 :]
    if behind.count(None) == len(behind) and back[:index].count(None) == index:
        return (*before, None, *back[index + 1 :])
    if before.count(None) == index and back[index + 1 :].count(None) == len(behind):
        return (*back[:index], None, *behind)
    others = (*back[:index], *back[index + 1 :])
    if None not in before and None not in behind and None not in others:
        sums = map(add, cast("tuple[float, ...]", (*before, *behind)), cast("tuple[float, ...]", others))
        means: list[float | None] = [0.5 * both for both in sums]
        means.insert(index, None)
        return means
    return [b if a is None else a if b is None else (a + b) / 2 for a, b in zip(there, back, strict=True)]


def _selected(rows: Sequence[_OptionalRow], have: Sequence[int], cpus: Sequence[int]) -> list[_OptionalRow]:
    position = {cpu: index for index, cpu in enumerate(have)}
    absent = len(have)
    indices = [position.get(cpu, absent) for cpu in cpus]
    pick = itemgetter(*indices, absent)
    empty: _OptionalRow = (None,) * (absent + 1)
    return [pick((*rows[index], None) if index < absent else empty)[:-1] for index in indices]


def _error_of_directions(matrix: Matrix | None) -> float | None:
    """The relative error of a pair's mean, from how its two directions differ; None without both, and where
    they are equal: then one was copied from the other, or both were rounded.

    1.4826 · median makes a robust standard deviation; half of the difference is the error of the mean.
    """
    if matrix is None:
        return None
    count = len(matrix.cpus)
    differences = []
    for step in _ERROR_STEPS:
        for index in range(max(0, count - step)):
            there, back = matrix.cells[index][index + step], matrix.cells[index + step][index]
            if there is not None and back is not None and there + back > 0:
                differences.append(abs(there - back) / (there + back))
    return (1.4826 * statistics.median(differences) or None) if differences else None


def _unmeasured(layout: Layout, pairs: Sequence[tuple[int, int, float]]) -> tuple[str, ...]:
    """Levels that hold two CPUs but of which no pair was measured."""
    sizes = [len(set(level.labels)) for level in layout.levels]
    finer = [len(layout.cpus), *sizes]
    there = {index for index, (inner, outer) in enumerate(pairwise(finer)) if outer < inner}
    if sizes and sizes[-1] > 1:
        there.add(len(layout.levels))
    for a, b, _ in pairs:
        if not there:
            break
        there.discard(layout.relation(a, b))
    return tuple(layout.relation_name(relation) for relation in sorted(there))
