"""What each pair of usable CPUs costs, from the evidence: measured, completed from a sample, or only
declared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from toposcope.advise.effects import Pair
from toposcope.advise.facts import Evidence
from toposcope.advise.known_pairs import complete_rows, error_of_directions, known_pairs, lower_rows
from toposcope.advise.layout import Layout, layout_of
from toposcope.advise.smooth import smoothed

Basis = Literal["measured", "sampled", "declared"]

# Of one value, where nothing tells it: not more, or a set that is really nearer would be taken for noise.
ASSUMED_ERROR_RATIO: Final = 0.01


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
    """The costs between `cpus` (ascending ids); `rows` may be empty where not wanted, which is quicker."""
    layout = layout_of(evidence.machine, cpus)
    lower = lower_rows(evidence.matrix, cpus)
    error = evidence.matrix_error_ratio
    if error is None:
        error = error_of_directions(evidence.matrix)
    rows = complete_rows(lower) if len(cpus) > 1 else None
    if rows is not None:
        return PairCosts(layout, rows, "measured", 1.0, *_or_assumed(error))
    pairs, unusable = known_pairs(lower)
    return PairCosts(
        layout,
        smoothed(layout, pairs) if rows_wanted else (),
        "sampled" if pairs else "declared",
        2 * len(pairs) / max(1, len(cpus) * (len(cpus) - 1)),
        *_or_assumed(error),
        unmeasured_relations=_unmeasured(layout, pairs) if pairs else (),
        unusable_pairs=unusable,
    )


def _or_assumed(error_ratio: float | None) -> tuple[float, bool]:
    return (ASSUMED_ERROR_RATIO, False) if error_ratio is None else (error_ratio, True)


def _unmeasured(layout: Layout, pairs: Sequence[Pair]) -> tuple[str, ...]:
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
