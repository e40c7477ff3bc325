"""Which CPUs of a large machine are worth a search: those of its densest neighbourhoods.

A pass over all CPUs is dear there, and most of them are far from any good set. So around seeds that lie all
over the machine a set is grown from the nearest CPUs alone; the CPUs of the cheapest sets are the pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from operator import add, itemgetter
from typing import Final

Rows = Sequence[Sequence[float]]

POOL_CPUS: Final = 160  # machines of up to so many are searched as a whole
_NEIGHBOURHOODS_MAX: Final = 128
_AROUND: Final = 2  # a set is grown among so many times as many CPUs as it needs
_SPREAD_STEP: Final = 0.618  # of all positions from seed to seed: any few of them lie all over the machine
_INFINITE: Final = float("inf")


def mates_of(groups: Sequence[int]) -> list[list[int]]:
    """For each position those of its group (core), itself included."""
    members: dict[int, list[int]] = {}
    for position, group in enumerate(groups):
        members.setdefault(group, []).append(position)
    return [members[group] for group in groups]


@dataclass(frozen=True, slots=True)
class Pool:
    """Positions, ascending, with all mates of each; and sets of them to start from, the cheapest first."""

    positions: list[int]
    starts: list[list[int]]


def pool(rows: Rows, mates: Sequence[Sequence[int]], count: int, size: int = POOL_CPUS) -> Pool:
    """About `size` positions, at least `count` groups of them."""
    covered: set[int] = set()
    found: list[tuple[float, list[int], list[int]]] = []
    for seed in sorted(range(len(rows)), key=lambda position: position * _SPREAD_STEP % 1):
        if seed in covered:
            continue
        around = _nearest(rows[seed], mates, seed, _AROUND * count)
        # The far half may have a nearer neighbourhood of its own.
        for cpu in around[: max(1, count // 2)]:
            covered.update(mates[cpu])
        cost, start = _grown(rows, around, count)
        found.append((cost, start, around[:count]))
        if len(found) == _NEIGHBOURHOODS_MAX:
            break
    found.sort()
    chosen: set[int] = set()
    starts: list[list[int]] = []
    for _, start, around in found:
        if starts and len(chosen) >= size - count:
            break
        starts.append(start)
        for cpu in (*start, *around):
            chosen.update(mates[cpu])
    return Pool(sorted(chosen), starts)


def _nearest(row: Sequence[float], mates: Sequence[Sequence[int]], first: int, count: int) -> list[int]:
    """`first`, then the nearest of other groups, of each group one: at most `count` in all."""
    enough = count * max(map(len, mates))
    limit = sorted(row)[min(enough, len(row)) - 1]
    near = list(compress(range(len(row)), map(limit.__ge__, row)))
    near.sort(key=row.__getitem__)
    chosen, held = [first], set(mates[first])
    for cpu in near:
        if len(chosen) == count:
            break
        if cpu not in held:
            chosen.append(cpu)
            held.update(mates[cpu])
    return chosen


def _grown(rows: Rows, around: Sequence[int], count: int) -> tuple[float, list[int]]:
    """A set of `count` of `around`, from its first on always the one that adds least; and its cost."""
    pick = itemgetter(*around, around[-1])  # one more, so that it always makes a tuple
    total = list(pick(rows[around[0]]))
    total[0] = total[-1] = _INFINITE
    chosen, cost = [around[0]], 0.0
    while len(chosen) < count:
        least = min(total)
        at = total.index(least)
        cost += least
        chosen.append(around[at])
        total = list(map(add, total, pick(rows[around[at]])))
        total[at] = _INFINITE
    return cost, chosen
