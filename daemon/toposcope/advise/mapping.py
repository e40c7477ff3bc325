"""Which worker on which CPU, where only some pairs of workers talk: pipelines and sparse communication.

This is the quadratic assignment problem (Koopmans and Beckmann, Econometrica 25, 1957), which is NP-hard:
greedy placement along the edges from many CPUs, moves and exchanges until none helps, then repeatedly a
connected part of the workers is taken out and placed anew (large neighbourhood search, as in `nearest`).
Deterministic, with a limit on cells looked at.

CPUs are positions 0…n-1, workers 0…k-1; `rows[i][j]` is what i and j cost each other (symmetric, 0 on the
diagonal).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from operator import add
from typing import Final

Rows = Sequence[Sequence[float]]
WeightedEdge = tuple[int, int, float]

WORK_CELLS: Final = 1_200_000  # about 50 ms on a 3 GHz core
_PASS_CELLS: Final = 40  # what a pass over a row costs beside its cells
_STARTS_SHARE: Final = 0.4
_PATIENCE: Final = 8  # replacements without any gain, for each CPU: small machines are soon done
_LARGE_CPUS: Final = 256  # beyond, the work is cut in proportion
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
    return _Search(rows, groups, workers, edges, work_cells).run()


class _Search:
    def __init__(
        self, rows: Rows, groups: Sequence[int], workers: int, edges: Sequence[WeightedEdge], work_cells: int
    ) -> None:
        self.rows = rows
        self.workers = workers
        members: dict[int, list[int]] = {}
        for cpu, group in enumerate(groups):
            members.setdefault(group, []).append(cpu)
        self.mates = [members[group] for group in groups]
        self.talks = _neighbours(workers, edges)
        # Reading a large matrix takes its share of the time, too.
        self.work_cells = work_cells * _LARGE_CPUS // max(_LARGE_CPUS, len(rows))
        self.random = random.Random(workers)
        self.best: list[int] = []
        self.best_cost = _INFINITE
        self.places = [-1] * workers
        self.free = [0.0] * len(rows)  # 0 where a worker may go, infinite elsewhere

    def run(self) -> list[int]:
        for_starts = self.work_cells * (1 - _STARTS_SHARE)
        order = self._order(max(range(self.workers), key=lambda w: (_weight(self.talks[w]), -w)), set())
        for seed in self._seeds():
            self._clear()
            self._put(order[0], seed)
            self._place(order[1:])
            self._settle()
            if self.work_cells < for_starts:
                break
        patience = _PATIENCE * len(self.rows)
        while self.work_cells > 0 and patience > 0:
            before = self.best_cost
            self._load(self.best)
            self._replace_part()
            self._settle()
            patience = patience - 1 if self.best_cost == before else _PATIENCE * len(self.rows)
        return self.best

    def _seeds(self) -> list[int]:
        near = min(8, len(self.rows))
        density = [sum(sorted(row)[:near]) for row in self.rows]
        self.work_cells -= len(density) ** 2
        return sorted(range(len(density)), key=lambda cpu: (density[cpu], cpu))

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
        self.free = [0.0] * len(self.rows)

    def _load(self, places: Sequence[int]) -> None:
        self._clear()
        for worker, cpu in enumerate(places):
            self._put(worker, cpu)

    def _put(self, worker: int, cpu: int) -> None:
        self.places[worker] = cpu
        for mate in self.mates[cpu]:
            self.free[mate] = _INFINITE

    def _take(self, worker: int) -> int:
        cpu = self.places[worker]
        self.places[worker] = -1
        for mate in self.mates[cpu]:
            self.free[mate] = 0.0
        return cpu

    def _costs(self, worker: int) -> list[float]:
        """What the worker would cost at each position; infinite where it may not go."""
        costs = self.free
        for other, weight in self.talks[worker]:
            if (cpu := self.places[other]) >= 0:
                row = self.rows[cpu]
                costs = list(map(add, costs, row if weight == 1.0 else [weight * ns for ns in row]))
                self.work_cells -= len(row) + _PASS_CELLS
        return costs

    def _place(self, workers: Iterable[int], avoided: Iterable[int] = ()) -> None:
        """Put each worker where it costs least now; `avoided` positions only where nothing else is free."""
        late = set(avoided)
        for worker in workers:
            costs = self._costs(worker)
            if late:
                costs = [cost + 1e12 if cpu in late else cost for cpu, cost in enumerate(costs)]
            self._put(worker, costs.index(min(costs)))
            self.work_cells -= len(self.rows)

    def _settle(self) -> None:
        """Move or exchange workers while that helps; keep the result where it is the best yet."""
        while self._improve() and self.work_cells > -len(self.rows) * self.workers:
            pass
        cost = sum(self._cost_of(worker, self.places[worker]) for worker in range(self.workers)) / 2
        if cost < self.best_cost - _GAIN_FLOOR:
            self.best, self.best_cost = self.places[:], cost

    def _improve(self) -> bool:
        helped = False
        for worker in range(self.workers):
            if not self.talks[worker]:
                continue
            old = self._take(worker)
            costs = self._costs(worker)
            least = min(costs)
            if least < costs[old] - _GAIN_FLOOR:
                self._put(worker, costs.index(least))
                helped = True
            else:
                self._put(worker, old)
        return self._exchange() or helped

    def _cost_of(self, worker: int, cpu: int) -> float:
        row = self.rows[cpu]
        return sum(weight * row[self.places[other]] for other, weight in self.talks[worker])

    def _exchange(self) -> bool:
        """Exchange the places of two workers wherever that helps."""
        helped = False
        for one in range(self.workers):
            for other in range(one):
                if not (self.talks[one] or self.talks[other]):
                    continue
                a, b = self.places[one], self.places[other]
                before = self._cost_of(one, a) + self._cost_of(other, b)
                self.places[one], self.places[other] = b, a
                if self._cost_of(one, b) + self._cost_of(other, a) < before - _GAIN_FLOOR:
                    helped = True
                else:
                    self.places[one], self.places[other] = a, b
        self.work_cells -= 32 * self.workers * self.workers  # as dear as so many cells
        return helped

    def _replace_part(self) -> None:
        """Take a connected part of the workers out and place it anew, starting somewhere else."""
        size = self.random.randint(1, max(1, self.workers // 2))
        first = self.random.randrange(self.workers)
        kept = set(range(self.workers))
        part = []
        for worker in self._order(first, set())[:size]:
            part.append(worker)
            kept.discard(worker)
        left = [self._take(worker) for worker in part]
        order = [worker for worker in self._order(self.random.choice(part), kept) if worker not in kept]
        if self.random.random() < 0.5:
            free = [cpu for cpu, cost in enumerate(self.free) if cost == 0.0]
            self._put(order.pop(0), self.random.choice(free))
        self._place(order, left)


def _neighbours(workers: int, edges: Iterable[WeightedEdge]) -> list[list[tuple[int, float]]]:
    talks: list[dict[int, float]] = [{} for _ in range(workers)]
    for one, other, weight in edges:
        if weight > 0:
            talks[one][other] = talks[one].get(other, 0.0) + weight
            talks[other][one] = talks[other].get(one, 0.0) + weight
    return [list(heard.items()) for heard in talks]


def _weight(talks: Iterable[tuple[int, float]]) -> float:
    return sum(weight for _, weight in talks)
