"""Which worker on which CPU, where only some pairs of workers talk: pipelines and sparse communication.

This is the quadratic assignment problem (Koopmans and Beckmann, Econometrica 25, 1957), which is NP-hard:
greedy placement along the edges from many CPUs, moves and exchanges until none helps, then repeatedly a
connected part of the workers is taken out and placed anew (large neighbourhood search, as in `nearest`). From
there the search goes on where that came out little worse (record-to-record travel: G. Dueck, Journal of
Computational Physics 104, 1993). Large machines are searched among the CPUs of their densest neighbourhoods,
and the result is settled among all. Deterministic, with a limit on cells looked at.

CPUs are positions 0…n-1, workers 0…k-1; `rows[i][j]` is what i and j cost each other (symmetric, 0 on the
diagonal).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import add, itemgetter, mul, sub
from typing import Final

from toposcope.advise.neighbourhoods import mates_of, pool

Rows = Sequence[Sequence[float]]
WeightedEdge = tuple[int, int, float]

WORK_CELLS: Final = 1_000_000  # about 40 ms on a 3 GHz core
_POOL_SHARE: Final = 0.5  # of it is enough among the CPUs of a pool
_WHOLE_CPUS: Final = 96  # machines of up to so many are searched as a whole
_POOL_CPUS: Final = 64  # of larger ones at least so many: passes over more left time for too few of them
_POOL_OF_WORKERS: Final = 4  # and so many for each worker
_PASS_CELLS: Final = 60  # what a pass over a row costs beside its cells
_STARTS_SHARE: Final = 0.3
_PATIENCE: Final = 8  # replacements without any gain, for each CPU: small machines are soon done
_NEAR: Final = 4  # so many nearest CPUs tell how good a place is for a worker whose partners have none
_SOMEWHERE: Final = 3  # a part begins anew in the best of so many places drawn at random
_DEVIATION: Final = 0.04  # by so much worse may be what the search goes on from, and less and less
_FAR: Final = 1e12
_INFINITE: Final = float("inf")
_GAIN_FLOOR: Final = 1e-9


def pipeline_edges(workers: int) -> list[WeightedEdge]:
    """A chain: each stage hands over to the next."""
    return [(stage, stage + 1, 1.0) for stage in range(workers - 1)]


def communication_cost(rows: Rows, edges: Iterable[WeightedEdge], places: Sequence[int]) -> float:
    """The mean latency of a message: over the edges, each by its weight; 0 where nobody talks."""
    total = weight = 0.0
    for one, other, share in edges:
        total += share * rows[places[one]][places[other]]
        weight += share
    return total / weight if weight else 0.0


def mapped(
    rows: Rows, groups: Sequence[int], workers: int, edges: Sequence[WeightedEdge],
    work_cells: int = WORK_CELLS,
) -> list[int]:  # fmt: skip
    """The position of each worker, so that talking costs (nearly) the least; of each group at most one."""
    assert 0 < workers <= len(set(groups)), "more workers than groups"
    talks = _neighbours(workers, edges)
    mates = mates_of(groups)
    if len(rows) <= _WHOLE_CPUS:
        return _Search(rows, mates, talks, work_cells).run()
    inner = pool(rows, mates, workers, max(_POOL_CPUS, _POOL_OF_WORKERS * workers)).positions
    pick = itemgetter(*inner)
    cells = int(_POOL_SHARE * work_cells)
    inside = _Search([pick(rows[cpu]) for cpu in inner], mates_of(pick(groups)), talks, cells)
    return _Search(rows, mates, talks, work_cells).settled([inner[at] for at in inside.run()])


class _Search:
    """`costs[w][i]` is what worker w would cost at position i beside those that have a place.

    Its lists are never changed in place, so that a state is kept by copying references.
    """

    def __init__(
        self,
        rows: Rows,
        mates: Sequence[Sequence[int]],
        talks: list[list[tuple[int, float]]],
        work_cells: int,
    ) -> None:
        self.rows, self.mates, self.talks = rows, mates, talks
        self.workers = len(talks)
        self.talking = [worker for worker in range(self.workers) if talks[worker]]
        self.work_cells = work_cells
        self.random = random.Random(self.workers)
        self.best: list[int] = []
        self.best_cost = _INFINITE
        self.nowhere = [0.0] * len(rows)
        self.places: list[int] = []
        self.costs: list[list[float]] = []
        self.taken: list[float] = []  # infinite where no worker may go, else 0
        self._clear()

    def run(self) -> list[int]:
        for_starts = self.work_cells * (1 - _STARTS_SHARE)
        order = self._order(max(range(self.workers), key=lambda w: (_weight(self.talks[w]), -w)), set())
        outlook = self._outlook()
        for seed in sorted(range(len(outlook)), key=lambda cpu: (outlook[cpu], cpu)):
            self._clear()
            self._put(order[0], seed)
            self._place(order[1:], outlook)
            self._settle()
            if self.work_cells < for_starts:
                break
        self._load(self.best)
        patience = _PATIENCE * len(self.rows)
        all_cells = self.work_cells
        while self.work_cells > 0 and patience > 0:
            before = self.best_cost
            state = self.places[:], self.costs[:], self.taken[:]
            self._replace_part(outlook)
            cost = self._settle()
            if cost < before - _GAIN_FLOOR:
                self._load(self.best)  # anew, so that rounding doesn't add up
            elif cost > before * (1 + _DEVIATION * max(0.0, self.work_cells / all_cells)):
                self.places, self.costs, self.taken = state
            patience = patience - 1 if self.best_cost == before else _PATIENCE * len(self.rows)
        return self.best

    def settled(self, places: Sequence[int]) -> list[int]:
        """`places` after the moves and exchanges that help."""
        self._load(places)
        self._settle()
        return self.best

    def _outlook(self) -> list[float]:
        near = min(_NEAR, len(self.rows))
        self.work_cells -= len(self.rows) ** 2
        return [sum(sorted(row)[:near]) for row in self.rows]

    def _order(self, first: int, placed: set[int]) -> list[int]:
        """All workers but `placed`, from `first` on always the one that talks most with those before it."""
        pull = [0.0] * self.workers
        for worker in placed:
            for other, weight in self.talks[worker]:
                pull[other] += weight
        left = set(range(self.workers)) - placed
        order = []
        worker = first
        while True:
            order.append(worker)
            left.discard(worker)
            for other, weight in self.talks[worker]:
                pull[other] += weight
            if not left:
                return order
            worker = max(left, key=lambda w: (pull[w], -w))

    def _clear(self) -> None:
        self.places = [-1] * self.workers
        self.costs = [self.nowhere] * self.workers
        self.taken = [0.0] * len(self.rows)

    def _load(self, places: Sequence[int]) -> None:
        self._clear()
        for worker, cpu in enumerate(places):
            self._put(worker, cpu)

    def _put(self, worker: int, cpu: int) -> None:
        self.places[worker] = cpu
        for mate in self.mates[cpu]:
            self.taken[mate] = _INFINITE
        self._count(worker, self.rows[cpu])

    def _take(self, worker: int) -> int:
        cpu = self.places[worker]
        self.places[worker] = -1
        for mate in self.mates[cpu]:
            self.taken[mate] = 0.0
        row = self.rows[cpu]
        for other, weight in self.talks[worker]:
            self.costs[other] = list(map(sub, self.costs[other], map(mul, row, repeat(weight))))
        self.work_cells -= (2 * len(row) + _PASS_CELLS) * len(self.talks[worker])
        return cpu

    def _count(self, worker: int, row: Sequence[float]) -> None:
        """Let those that talk with the worker know what its new place (or the difference) costs them."""
        for other, weight in self.talks[worker]:
            self.costs[other] = list(map(add, self.costs[other], map(mul, row, repeat(weight))))
        self.work_cells -= (2 * len(row) + _PASS_CELLS) * len(self.talks[worker])

    def _move(self, worker: int, cpu: int) -> None:
        old = self.places[worker]
        self.places[worker] = cpu
        for mate in self.mates[old]:
            self.taken[mate] = 0.0
        for mate in self.mates[cpu]:
            self.taken[mate] = _INFINITE
        self._count(worker, list(map(sub, self.rows[cpu], self.rows[old])))

    def _place(self, workers: Iterable[int], outlook: list[float], avoided: Iterable[int] = ()) -> None:
        """Put each worker where it costs least now; `avoided` positions only where nothing else is free."""
        late = list(avoided)
        for worker in workers:
            costs = list(map(add, self._prospects(worker, outlook), self.taken))
            for cpu in late:
                costs[cpu] += _FAR
            self._put(worker, costs.index(min(costs)))
            self.work_cells -= 2 * len(self.rows) + _PASS_CELLS

    def _prospects(self, worker: int, outlook: list[float]) -> list[float]:
        """What it costs at each position; where no partner has a place, how far others are from there."""
        is_first = all(self.places[other] < 0 for other, _ in self.talks[worker])
        return outlook if is_first else self.costs[worker]

    def _settle(self) -> float:
        """Move or exchange workers while that helps; the cost. Keeps it where it is the best yet."""
        while (self._moves() or self._exchanges()) and self.work_cells > -len(self.rows) * self.workers:
            pass
        cost = sum(self._own(worker) for worker in self.talking) / 2
        if cost < self.best_cost - _GAIN_FLOOR or not self.best:
            self.best, self.best_cost = self.places[:], cost
        return cost

    def _own(self, worker: int) -> float:
        row = self.rows[self.places[worker]]
        return sum(weight * row[self.places[other]] for other, weight in self.talks[worker])

    def _moves(self) -> bool:
        """Let each worker go where it costs least; whether any went."""
        helped = False
        for worker in self.talking:
            costs, old = self.costs[worker], self.places[worker]
            least, cpu = min((costs[mate], mate) for mate in self.mates[old])
            open_to_all = list(map(add, costs, self.taken))
            elsewhere = min(open_to_all)
            if elsewhere < least:
                least, cpu = elsewhere, open_to_all.index(elsewhere)
            if least < costs[old] - _GAIN_FLOOR:
                self._move(worker, cpu)
                helped = True
        self.work_cells -= (2 * len(self.rows) + _PASS_CELLS) * len(self.talking)
        return helped

    def _exchanges(self) -> bool:
        """Exchange the places of the two workers for which that helps most; whether any two were."""
        pick = itemgetter(*self.places, self.places[-1])
        swapped = [list(pick(costs)) for costs in self.costs]  # each worker at each other's place
        for worker in self.talking:
            for other, weight in self.talks[worker]:  # who talk stay as far apart as they are
                swapped[worker][other] += weight * self.rows[self.places[worker]][self.places[other]]
        own = [costs[worker] for worker, costs in enumerate(swapped)]
        best, pair = -_GAIN_FLOOR, None
        for one, there in enumerate(swapped):
            mine = own[one]
            for other in range(one):
                gain = there[other] + swapped[other][one] - mine - own[other]
                if gain < best:
                    best, pair = gain, (one, other)
        self.work_cells -= (4 * self.workers + _PASS_CELLS) * self.workers
        if pair is None:
            return False
        one, other = pair
        a, b = self.places[one], self.places[other]
        self.places[one], self.places[other] = b, a
        there = list(map(sub, self.rows[b], self.rows[a]))
        self._count(one, there)
        self._count(other, [-ns for ns in there])
        return True

    def _replace_part(self, outlook: list[float]) -> None:
        """Take a connected part of the workers out and place it anew, starting somewhere else."""
        size = self.random.randint(1, max(1, self.workers // 2))
        kept = set(range(self.workers))
        part = self._order(self.random.randrange(self.workers), set())[:size]
        kept.difference_update(part)
        left = [self._take(worker) for worker in part]
        order = self._order(self.random.choice(part), kept)
        if self.random.random() < 0.5:
            free = [cpu for cpu, cost in enumerate(self.taken) if cost == 0.0]
            some = self.random.sample(free, min(_SOMEWHERE, len(free)))
            first = order.pop(0)
            self._put(first, min(some, key=self._prospects(first, outlook).__getitem__))
        self._place(order, outlook, left)


def _neighbours(workers: int, edges: Iterable[WeightedEdge]) -> list[list[tuple[int, float]]]:
    talks: list[dict[int, float]] = [{} for _ in range(workers)]
    for one, other, weight in edges:
        if weight > 0:
            talks[one][other] = talks[one].get(other, 0.0) + weight
            talks[other][one] = talks[other].get(one, 0.0) + weight
    return [list(heard.items()) for heard in talks]


def _weight(talks: Iterable[tuple[int, float]]) -> float:
    return sum(weight for _, weight in talks)
