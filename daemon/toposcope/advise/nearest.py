"""Which k CPUs lie nearest together: a subset with the least mean latency over all of its pairs.

The problem (minimum dispersion, k-cardinality clique of least weight) is NP-hard, so this is a search: greedy
growth from the CPUs with the densest neighbourhoods, swaps until none helps, then repeated removal and
regrowth of a part (large neighbourhood search: Pisinger and Ropke, "Large neighborhood search", Handbook of
Metaheuristics, 2010). A swap is judged from running sums in O(n). Everything is deterministic: the
pseudo-random choices have a fixed seed, and the limit is a count of cells looked at, not a time.

On large machines a pass over all CPUs is dear. There the CPUs of the densest neighbourhoods are searched like
a small machine (`neighbourhoods`), and the result is settled among all.

CPUs are positions 0…n-1 here; `rows[i][j]` is what i and j cost each other (symmetric, 0 on the diagonal).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from operator import add, itemgetter, sub
from typing import Final

from toposcope.advise.neighbourhoods import POOL_CPUS, mates_of, pool

Rows = Sequence[Sequence[float]]

WORK_CELLS: Final = 500_000  # about 20 ms on a 3 GHz core
_POOL_SHARE: Final = 0.25  # of it is enough among the CPUs of a pool
_STARTS_OF_POOL: Final = 6
_PASS_CELLS: Final = 40  # what a pass over a row costs beside its cells
_STARTS_SHARE: Final = 0.6  # of the work goes into different starts, the rest into regrowing the best
_PATIENCE: Final = 4  # regrowths without any gain, for each CPU: small machines are soon done
_FAR: Final = 1e12
_INFINITE: Final = float("inf")
_GAIN_FLOOR_NS: Final = 1e-9  # smaller gains are rounding, and would let the search run in circles


def total_cost(rows: Rows, chosen: Sequence[int]) -> float:
    """The sum over all pairs of `chosen`, each pair once."""
    if len(chosen) < 2:
        return 0.0
    pick = itemgetter(*chosen)
    return sum(sum(pick(rows[cpu])) for cpu in chosen) / 2


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
    mates = mates_of(groups)
    if count == 2:
        return _nearest_pair(rows, mates)
    if len(rows) <= POOL_CPUS:
        return _Search(rows, mates, count, work_cells).run()
    inner = pool(rows, mates, count)
    pick = itemgetter(*inner.positions)
    inside = [pick(rows[cpu]) for cpu in inner.positions]
    place = {cpu: at for at, cpu in enumerate(inner.positions)}
    starts = [[place[cpu] for cpu in start] for start in inner.starts[:_STARTS_OF_POOL]]
    search = _Search(inside, mates_of(pick(groups)), count, int(_POOL_SHARE * work_cells))
    found = [inner.positions[at] for at in search.run(starts)]
    return _Search(rows, mates, count, work_cells).settled(found)


def _nearest_pair(rows: Rows, mates: Sequence[Sequence[int]]) -> list[int]:
    least, pair = _INFINITE, [0, 1]
    for cpu, row in enumerate(rows):
        others = list(row)
        for mate in mates[cpu]:
            others[mate] = _INFINITE
        near = min(others)
        if near < least:
            least, pair = near, [cpu, others.index(near)]
    return pair


class _Search:
    """`free[i]` is what position i would cost beside the chosen ones, infinite where no worker may go."""

    def __init__(self, rows: Rows, mates: Sequence[Sequence[int]], count: int, work_cells: int) -> None:
        self.rows = rows
        self.mates = mates
        self.count = count
        self.work_cells = work_cells
        self.random = random.Random(count)
        self.farthest: dict[int, float] = {}  # by position
        self.seen: set[tuple[int, ...]] = set()
        self.best: list[int] = []
        self.best_cost = _INFINITE
        self.best_total: list[float] = []  # of each position to all of `best`

    def run(self, starts: Sequence[list[int]] = ()) -> list[int]:
        """The best set found, from `starts` (of `count`) and others; ascending."""
        for_starts = self.work_cells * (1 - _STARTS_SHARE)
        for start in starts:
            self._try(start, self._total(start))
        for seed in self._seeds():
            self._try([seed], list(self.rows[seed]))
            if self.work_cells < for_starts:
                break
        patience = _PATIENCE * len(self.rows)
        while self.work_cells > 0 and patience > 0 and self.count < len(self.rows):
            before = self.best_cost
            self._try(*self._with_a_part_out())
            patience = patience - 1 if self.best_cost == before else _PATIENCE * len(self.rows)
        return sorted(self.best)

    def settled(self, chosen: list[int]) -> list[int]:
        """`chosen` after the swaps that help; ascending."""
        self._try(chosen, self._total(chosen))
        return sorted(self.best)

    def _seeds(self) -> list[int]:
        """All positions, those with the cheapest neighbourhood of `count` first."""
        density = [sum(sorted(row)[: self.count]) for row in self.rows]
        self.work_cells -= len(density) * len(self.rows)
        return sorted(range(len(density)), key=lambda cpu: (density[cpu], cpu))

    def _total(self, chosen: Sequence[int]) -> list[float]:
        total = list(self.rows[chosen[0]])
        for cpu in chosen[1:]:
            total = list(map(add, total, self.rows[cpu]))
        self.work_cells -= (len(total) + _PASS_CELLS) * len(chosen)
        return total

    def _try(self, chosen: list[int], total: list[float], avoided: Sequence[int] = ()) -> None:
        """Grow and settle, unless that has been done with the set that was grown."""
        free = self._grow(chosen, total, avoided)
        key = tuple(sorted(chosen))
        if key not in self.seen:
            self.seen.add(key)
            self._settle(chosen, free)

    def _grow(self, chosen: list[int], total: list[float], avoided: Sequence[int]) -> list[float]:
        """Add to `chosen` what costs least until there are `count`, `avoided` last; returns what is free.

        `total[i]` is what position i costs beside those chosen.
        """
        rows, mates, free = self.rows, self.mates, total
        for cpu in chosen:
            for mate in mates[cpu]:
                free[mate] = _INFINITE
        for cpu in avoided:
            free[cpu] += _FAR
        self.work_cells -= (2 * len(free) + _PASS_CELLS) * (self.count - len(chosen))
        while len(chosen) < self.count:
            cpu = free.index(min(free))
            chosen.append(cpu)
            free = list(map(add, free, rows[cpu]))
            for mate in mates[cpu]:
                free[mate] = _INFINITE
        pick = itemgetter(*chosen)
        for cpu in avoided:
            if free[cpu] < _INFINITE:
                free[cpu] = sum(pick(rows[cpu]))  # beside _FAR its digits were lost
        return free

    def _settle(self, chosen: list[int], free: list[float]) -> None:
        """Swap one position for another until no swap helps; keep the result where it is the best yet."""
        rows = self.rows
        while True:
            pick = itemgetter(*chosen)
            own = [sum(pick(rows[cpu])) for cpu in chosen]
            self.work_cells -= len(own) * (len(own) + _PASS_CELLS // 4)
            swap = self._swap(chosen, own, free) if self.work_cells > 0 else None
            if swap is None:
                break
            at, coming = swap
            leaving, chosen[at] = chosen[at], coming
            free = list(map(add, map(sub, free, rows[leaving]), rows[coming]))
            self.work_cells -= 2 * len(rows) + _PASS_CELLS
            pick = itemgetter(*chosen)
            for mate in self.mates[leaving]:
                free[mate] = sum(pick(rows[mate]))
            for mate in self.mates[coming]:
                free[mate] = _INFINITE
        cost = sum(own)
        if cost < self.best_cost - _GAIN_FLOOR_NS:
            self.best, self.best_cost, self.best_total = chosen, cost, self._total(chosen)

    def _swap(self, chosen: list[int], own: list[float], free: list[float]) -> tuple[int, int] | None:
        """A swap that helps, or None: which of `chosen` leaves, and what comes.

        `own[i]` is what chosen[i] costs beside the others. Those that cost most now are tried first.
        """
        rows = self.rows
        # Without one that leaves nothing gets cheaper by more than the farthest that any of them is.
        limit = max(own) + max(map(self._farthest, chosen))
        near = [cpu for cpu, cost in enumerate(free) if cost < limit] or [free.index(min(free))]
        pick = itemgetter(*near, near[-1])  # one more, so that it always makes a tuple
        of_near = pick(free)
        self.work_cells -= len(free)
        for at in sorted(range(len(own)), key=own.__getitem__, reverse=True):
            leaving = chosen[at]
            without = list(map(sub, of_near, pick(rows[leaving])))
            self.work_cells -= len(near) + _PASS_CELLS
            least = min(without)
            coming = near[without.index(least)] if least < _INFINITE else leaving
            least, coming = self._or_mate(chosen, leaving, least, coming)
            if least < own[at] - _GAIN_FLOOR_NS:
                return at, coming
        return None

    def _or_mate(self, chosen: Sequence[int], leaving: int, least: float, coming: int) -> tuple[float, int]:
        """The core of the one that leaves becomes free with it."""
        for mate in self.mates[leaving]:
            if mate != leaving:
                row = self.rows[mate]
                cost = sum(map(row.__getitem__, chosen)) - row[leaving]
                if cost < least:
                    least, coming = cost, mate
        return least, coming

    def _farthest(self, cpu: int) -> float:
        if cpu not in self.farthest:
            self.farthest[cpu] = max(self.rows[cpu])
        return self.farthest[cpu]

    def _with_a_part_out(self) -> tuple[list[int], list[float], list[int]]:
        """The best set without a part of it, and mostly with a position that is anywhere instead.

        Returns it, what each position costs beside it, and the part that was taken out.
        """
        size = self.random.randint(1, max(1, self.count // 2))
        around = self.rows[self.random.choice(self.best)]
        if self.random.random() < 0.5:  # a part that lies together
            out = sorted(self.best, key=lambda cpu: (around[cpu], cpu))[:size]
        else:
            out = self.random.sample(self.best, size)
        kept = [cpu for cpu in self.best if cpu not in out]
        total = self.best_total[:]
        for cpu in out:
            total = list(map(sub, total, self.rows[cpu]))
        held = {mate for cpu in kept for mate in self.mates[cpu]}
        others = [cpu for cpu in range(len(self.rows)) if cpu not in held and cpu not in out]
        if others:
            kept.append(self.random.choice(others))
            total = list(map(add, total, self.rows[kept[-1]]))
        self.work_cells -= (len(total) + _PASS_CELLS) * (size + 1)
        return kept, total, out
