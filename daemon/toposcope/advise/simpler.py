"""Sets that people can name: the first CPUs of one cache domain, node or package instead of any odd
selection.

Where such a set costs no more than the measurement's own error above the best one, nothing shows that the
best one is better; the simpler one is easier to write down, to check and to keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from toposcope.advise.layout import Layout
from toposcope.advise.nearest import Rows, mean_cost
from toposcope.topology.cpulist import format_cpulist


@dataclass(frozen=True, slots=True)
class SimpleSet:
    """Positions, and what the set is called: "the first 6 cores of l3 domain 0-7"."""

    chosen: tuple[int, ...]
    name: str


def simple_sets(layout: Layout, groups: Sequence[int], count: int) -> list[SimpleSet]:
    """The first `count` free positions of each declared set that has so many, small sets first."""
    found: dict[tuple[int, ...], SimpleSet] = {}
    for level in layout.levels:
        members: dict[int, list[int]] = {}
        for position, label in enumerate(level.labels):
            members.setdefault(label, []).append(position)
        for positions in members.values():
            cpus = format_cpulist(layout.cpus[position] for position in positions)
            for chosen in _firsts(layout, groups, positions, count):
                whole = "all" if len(chosen) == len(positions) else f"the first {count}"
                found.setdefault(chosen, SimpleSet(chosen, f"{whole} of the {level.name} set of CPUs {cpus}"))
    return list(found.values())


def simplest_near_best(
    layout: Layout, rows: Rows, groups: Sequence[int], best: Sequence[int], error_ratio: float
) -> SimpleSet | None:
    """The cheapest simple set, if its cost is within `error_ratio` of that of `best`.

    None for two workers: one pair of CPUs is as easy to name as another.
    """
    sets = simple_sets(layout, groups, len(best)) if len(best) > 2 else []
    costs = [(mean_cost(rows, one.chosen), number) for number, one in enumerate(sets)]
    if not costs:
        return None
    cost, number = min(costs)
    return sets[number] if cost <= mean_cost(rows, best) * (1 + error_ratio) else None


def _firsts(
    layout: Layout, groups: Sequence[int], positions: Sequence[int], count: int
) -> list[tuple[int, ...]]:
    """By number, at most one of each group; and core by core where cores may be shared."""
    held: set[int] = set()
    by_number = []
    for position in positions:
        if groups[position] not in held:
            held.add(groups[position])
            by_number.append(position)
    by_core = sorted(by_number, key=lambda position: (layout.cores[position], position))
    sets = {tuple(sorted(order[:count])) for order in (by_number, by_core)}
    return sorted(chosen for chosen in sets if len(chosen) == count)
