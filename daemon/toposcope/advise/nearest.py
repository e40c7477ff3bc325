"""Which k CPUs lie nearest together: a subset with the least mean latency over all of its pairs.

The problem (minimum dispersion, k-cardinality clique of least weight) is NP-hard, so this is a search: greedy
growth from the CPUs with the densest neighbourhoods, swaps until none helps, then repeated removal and
regrowth of a part (large neighbourhood search: Pisinger and Ropke, "Large neighborhood search", Handbook of
Metaheuristics, 2010). A swap is judged from running sums in O(n). Everything is deterministic: the
pseudo-random choices have a fixed seed, and the limit is a count of cells looked at, not a time.

On large machines a pass over all CPUs is dear. So one start from each of the densest neighbourhoods is grown
over all of them, the CPUs of the best starts are searched like a small machine, and the result is settled
among all.

CPUs are positions 0…n-1 here; `rows[i][j]` is what i and j cost each other (symmetric, 0 on the diagonal).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from operator import add, itemgetter, sub
from typing import Final

Rows = Sequence[Sequence[float]]

# About 30 ms on a 3 GHz core: a cell costs 30–50 ns here, and each pass over a row as much as _PASS_CELLS.
WORK_CELLS: Final = 700_000
_PASS_CELLS: Final = 40
_STARTS_SHARE: Final = 0.6  # of the work goes into different starts, the rest into regrowing the best
_NEIGHBOURHOODS_MAX: Final = 128
_PATIENCE: Final = 4  # regrowths without any gain, for each CPU: small machines are soon done
_POOL_CPUS: Final = 160  # beyond, the search goes on among so many, those of the best starts
_POOL_SHARE: Final = 0.3  # of the work goes into growing starts all over the machine
_SORT_CELLS: Final = 2  # sorting a row costs as much as so many passes over it
_SPREAD_STEP: Final = 0.618  # of all positions from seed to seed: any few of them lie all over the machine
_INFINITE: Final = float("inf")
_GAIN_FLOOR_NS: Final = 1e-9  # smaller gains are rounding, and would let the search run in circles


def total_cost(rows: Rows, chosen: Sequence[int]) -> float:
    """The sum over all pairs of `chosen`, each pair once."""
    return sum(sum(map(rows[a].__getitem__, chosen)) for a in chosen) / 2


def mean_cost(rows: Rows, chosen: Sequence[int]) -> float:
    """The mean over all pairs of `chosen`; 0 for fewer than two."""
    pairs = len(chosen) * (len(chosen) - 1) // 2
    return total_cost(rows, chosen) / pairs if pairs else 0.0


def nearest_set(rows: Rows, groups: Sequence[int], count: int, work_cells: int = WORK_CELLS) -> list[int]:
    """`count` positions with (nearly) the least mean cost, of each group (core) at most one; ascending.

    `groups[i]` is the group of position i; give each position its own where all may be used. Raises
    AssertionError where there are fewer groups than `count`.
    """
    assert 0 < count <= len(set(groups)), "more workers than groups"
    if count == 1:
        return [min(range(len(rows)), key=lambda cpu: (sum(rows[cpu]), cpu))]
    if count == 2:
        return _nearest_pair(rows, groups)
    search = _Search(rows, groups, count, work_cells)
    if len(rows) <= _POOL_CPUS:
        return search.run()
    pool = search.pool()
    pick = itemgetter(*pool)
    inside = _Search([pick(rows[cpu]) for cpu in pool], pick(groups), count, search.work_cells).run()
    return search.settled([pool[at] for at in inside])


def _nearest_pair(rows: Rows, groups: Sequence[int]) -> list[int]:
    members: dict[int, list[int]] = {}
    for cpu, group in enumerate(groups):
        members.setdefault(group, []).append(cpu)
    least, pair = _INFINITE, [0, 1]
    for cpu, row in enumerate(rows):
        others = list(row)
        for mate in members[groups[cpu]]:
            others[mate] = _INFINITE
        near = min(others)
        if near < least:
            least, pair = near, [cpu, others.index(near)]
    return pair


class _Search:
    def __init__(self, rows: Rows, groups: Sequence[int], count: int, work_cells: int) -> None:
        self.rows = rows
        self.count = count
        members: dict[int, list[int]] = {}
        for cpu, group in enumerate(groups):
            members.setdefault(group, []).append(cpu)
        self.mates = [members[group] for group in groups]  # of each position, itself included
        self.work_cells = work_cells
        self.random = random.Random(count)
        self.best: list[int] = []
        self.best_cost = _INFINITE

    def run(self) -> list[int]:
        for_starts = self.work_cells * (1 - _STARTS_SHARE)
        seen: set[tuple[int, ...]] = set()
        for seed in self._seeds():
            start = self._grow([seed])
            key = tuple(sorted(start))
            if key not in seen:
                seen.add(key)
                self._settle(start)
            if self.work_cells < for_starts:
                break
        patience = _PATIENCE * len(self.rows)
        while self.work_cells > 0 and patience > 0 and self.count < len(self.rows):
            before = self.best_cost
            self._settle(self._regrown(self.best))
            patience = patience - 1 if self.best_cost == before else _PATIENCE * len(self.rows)
        return sorted(self.best)

    def pool(self) -> list[int]:
        """The CPUs of the best starts, one start from each of the densest neighbourhoods; ascending."""
        neighbourhoods = self._neighbourhoods()
        enough = self.work_cells * (1 - _POOL_SHARE)
        starts = []
        for near in neighbourhoods:
            start = self._grow(near[:1])
            starts.append((total_cost(self.rows, start), start + near))
            if self.work_cells < enough:
                break
        pool: set[int] = set()
        for cpus in (*(cpus for _, cpus in sorted(starts)), *neighbourhoods[len(starts) :]):
            if len(pool) >= _POOL_CPUS - self.count:
                break
            for cpu in cpus:
                pool.update(self.mates[cpu])
        return sorted(pool)

    def _neighbourhoods(self) -> list[list[int]]:
        """CPUs with the `count` - 1 of other cores that are nearest to them, the cheapest first."""
        covered: set[int] = set()
        found: list[tuple[float, list[int]]] = []
        for seed in sorted(range(len(self.rows)), key=lambda position: position * _SPREAD_STEP % 1):
            if seed not in covered and len(found) < _NEIGHBOURHOODS_MAX:
                row = self.rows[seed]
                near = self._apart(seed, sorted(range(len(row)), key=row.__getitem__))
                self.work_cells -= _SORT_CELLS * len(row)
                # The far half may have a nearer neighbourhood of its own.
                for cpu in near[: max(1, self.count // 2)]:
                    covered.update(self.mates[cpu])
                found.append((sum(map(row.__getitem__, near)), near))
        return [near for _, near in sorted(found)]

    def _apart(self, first: int, order: Sequence[int]) -> list[int]:
        """`first` and then those of `order` that share no core with any before them, `count` in all."""
        chosen, held = [first], set(self.mates[first])
        for cpu in order:
            if len(chosen) == self.count:
                break
            if cpu not in held:
                chosen.append(cpu)
                held.update(self.mates[cpu])
        return chosen

    def settled(self, chosen: list[int]) -> list[int]:
        """`chosen` after the swaps that help; ascending."""
        self._settle(chosen)
        return sorted(self.best)

    def _seeds(self) -> list[int]:
        """All positions, those with the cheapest neighbourhood of `count` first."""
        density = [sum(sorted(row)[: self.count]) for row in self.rows]
        self.work_cells -= len(density) * len(self.rows)
        return sorted(range(len(density)), key=lambda cpu: (density[cpu], cpu))

    def _grow(self, chosen: list[int], banned: Sequence[int] = ()) -> list[int]:
        """Add the position that costs least, until there are `count`; `banned` are taken last."""
        total = [0.0] * len(self.rows)
        for cpu in chosen:
            total = list(map(add, total, self.rows[cpu]))
        for cpu in chosen:
            for mate in self.mates[cpu]:
                total[mate] = _INFINITE
        far = 1e12
        for cpu in banned:
            total[cpu] += far
        while len(chosen) < self.count:
            cpu = total.index(min(total))
            chosen.append(cpu)
            total = list(map(add, total, self.rows[cpu]))
            for mate in self.mates[cpu]:
                total[mate] = _INFINITE
        self.work_cells -= (2 * len(total) + _PASS_CELLS) * len(chosen)
        return chosen

    def _settle(self, chosen: list[int]) -> None:
        """Swap one position for another until no swap helps; keep the result where it is the best yet."""
        rows, mates = self.rows, self.mates
        total = [0.0] * len(rows)
        for cpu in chosen:
            total = list(map(add, total, rows[cpu]))
        free = total[:]  # as `total`, but infinite where no worker may go
        for cpu in chosen:
            for mate in mates[cpu]:
                free[mate] = _INFINITE
        self.work_cells -= len(rows) * len(chosen)
        while self.work_cells > 0 and (swap := self._swap(chosen, total, free)):
            leaving, coming = swap
            chosen[chosen.index(leaving)] = coming
            total = list(map(add, map(sub, total, rows[leaving]), rows[coming]))
            free = total[:]
            for cpu in chosen:
                for mate in mates[cpu]:
                    free[mate] = _INFINITE
            self.work_cells -= 2 * len(rows) + _PASS_CELLS
        cost = sum(total[cpu] for cpu in chosen)
        if cost < self.best_cost - _GAIN_FLOOR_NS:
            self.best, self.best_cost = chosen[:], cost

    def _swap(self, chosen: list[int], total: list[float], free: list[float]) -> tuple[int, int] | None:
        """A swap that helps, or None; those that cost most now are tried first."""
        for leaving in sorted(chosen, key=total.__getitem__, reverse=True):
            row = self.rows[leaving]
            without = list(map(sub, free, row))
            self.work_cells -= len(row) + _PASS_CELLS
            least = min(without)
            coming = without.index(least)
            for mate in self.mates[leaving]:  # its own core becomes free with it
                if mate != leaving and total[mate] - row[mate] < least:
                    least, coming = total[mate] - row[mate], mate
            if least < total[leaving] - _GAIN_FLOOR_NS:
                return leaving, coming
        return None

    def _regrown(self, chosen: list[int]) -> list[int]:
        """A part that lies together is taken out and grown again elsewhere."""
        size = self.random.randint(1, max(1, self.count // 2))
        around = self.random.choice(chosen)
        near = sorted(chosen, key=lambda cpu: (self.rows[around][cpu], cpu))
        out = near[:size] if self.random.random() < 0.5 else self.random.sample(chosen, size)
        kept = [cpu for cpu in chosen if cpu not in out]
        held = {mate for cpu in kept for mate in self.mates[cpu]}
        others = [cpu for cpu in range(len(self.rows)) if cpu not in held and cpu not in out]
        if others:
            kept.append(self.random.choice(others))
        return self._grow(kept, banned=out)
