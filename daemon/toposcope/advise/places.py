"""Which worker on which CPU: the search itself, for `mapping`.

Greedy placement along the edges from many CPUs, moves and exchanges until none helps, then repeatedly a
connected part of the workers is taken out and placed anew (large neighbourhood search, as in `nearest`). From
there the search goes on where that came out little worse (record-to-record travel: G. Dueck, Journal of
Computational Physics 104, 1993). Deterministic, with a limit on cells looked at.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import add, mul, sub
from typing import Final

from toposcope.advise.talks import Talks, along, cost_of, most_talkative

Rows = Sequence[Sequence[float]]

_PASS_CELLS: Final = 60  # what a pass over a row costs beside its cells
_STARTS_SHARE: Final = 0.3
_STARTS_TAKEN: Final = 3  # of them so many are improved further
_DIGITS: Final = 6  # costs that differ by less are the same
_PATIENCE: Final = 8  # replacements without any gain, for each CPU: small machines are soon done
_NEAR: Final = 4  # so many nearest CPUs tell how good a place is for a worker whose partners have none
_SOMEWHERE: Final = 3  # a part begins anew in the best of so many places drawn at random
_DEVIATION: Final = 0.04  # by so much worse may be what the search goes on from, and less and less
_FAR: Final = 1e12
_INFINITE: Final = float("inf")
_GAIN_FLOOR: Final = 1e-9


class Search:
    """`costs[w][i]` is what worker w would cost at position i beside those that have a place.

    Its lists are never changed in place, so that a state is kept by copying references. Searches of another
    `number` begin with another worker and draw other parts.
    """

    def __init__(
        self,
        rows: Rows,
        mates: Sequence[Sequence[int]],
        talks: Talks,
        work_cells: int,
        number: int = 0,
    ) -> None:
        self.rows, self.mates, self.talks = rows, mates, talks
        self.workers = len(talks)
        self.talking = [worker for worker in range(self.workers) if talks[worker]]
        self.work_cells = work_cells
        self.random = random.Random(f"{self.workers} {number}")
        talkative = most_talkative(talks)
        self.first = talkative[number % len(talkative)]
        self.best: list[int] = []
        self.best_cost = _INFINITE
        self.nowhere = [0.0] * len(rows)
        self.places: list[int] = []
        self.costs: list[list[float]] = []
        self.taken: list[float] = []  # infinite where no worker may go, else 0
        self._clear()

    def run(self) -> list[int]:
        """From many CPUs."""
        for_starts = self.work_cells * (1 - _STARTS_SHARE)
        order = along(self.talks, self.first)
        outlook = self._outlook()
        starts: dict[float, list[int]] = {}
        for seed in sorted(range(len(outlook)), key=lambda cpu: (outlook[cpu], cpu)):
            self._clear()
            self._put(order[0], seed)
            self._place(order[1:], outlook)
            starts.setdefault(round(self._settle(), _DIGITS), self.places[:])
            if self.work_cells < for_starts:
                break
        taken = sorted(starts)[:_STARTS_TAKEN]
        cells = self.work_cells
        for number, cost in enumerate(taken, 1):
            self._improve(starts[cost], outlook, int(cells * (1 - number / len(taken))))
        return self.best

    def run_within(self, allowed: Sequence[Sequence[int]]) -> list[int]:
        """From a start with each worker at one of the positions allowed to it; there must be room."""
        outlook = self._outlook()
        self._clear()
        for worker in along(self.talks, self.first):
            costs = list(map(add, self._prospects(worker, outlook), self.taken))
            self._put(worker, min(allowed[worker], key=costs.__getitem__))
        self._settle()
        self._improve(self.best, outlook, 0)
        return self.best

    def _improve(self, start: Sequence[int], outlook: list[float], cells_kept: int) -> None:
        """Replace parts until nothing more is found, or no more than `cells_kept` are left."""
        self._load(start)
        least = cost_of(self.rows, self.talks, start)
        patience = _PATIENCE * len(self.rows)
        all_cells = self.work_cells - cells_kept
        while self.work_cells > cells_kept and patience > 0:
            state = self.places[:], self.costs[:], self.taken[:]
            cost = self._settle(self._replace_part(outlook))
            if cost < least - _GAIN_FLOOR:
                least = cost
                self._load(self.places[:])  # anew, so that rounding doesn't add up
                patience = _PATIENCE * len(self.rows)
                continue
            patience -= 1
            deviation = _DEVIATION * max(0.0, (self.work_cells - cells_kept) / all_cells)
            if cost > least * (1 + deviation):
                self.places, self.costs, self.taken = state

    def settled(self, places: Sequence[int]) -> list[int]:
        """`places` after the moves and exchanges that help."""
        self._load(places)
        self._settle()
        return self.best

    def _outlook(self) -> list[float]:
        near = min(_NEAR, len(self.rows))
        self.work_cells -= len(self.rows) ** 2
        return [sum(sorted(row)[:near]) for row in self.rows]

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

    def _settle(self, workers: Iterable[int] | None = None) -> float:
        """Move or exchange `workers` (all), then whom that concerns, while it helps; the cost.

        Keeps it where it is the best yet.
        """
        left = self.talking if workers is None else self._concerned(workers)
        while left and self.work_cells > -len(self.rows) * self.workers:
            left = self._concerned(self._moves(left) | self._exchanges(left))
        cost = cost_of(self.rows, self.talks, self.places)
        if cost < self.best_cost - _GAIN_FLOOR or not self.best:
            self.best, self.best_cost = self.places[:], cost
        return cost

    def _concerned(self, workers: Iterable[int]) -> list[int]:
        """Those of them that talk, and who talks with them."""
        concerned = {worker for worker in workers if self.talks[worker]}
        concerned.update(other for worker in list(concerned) for other, _ in self.talks[worker])
        return sorted(concerned)

    def _moves(self, workers: Sequence[int]) -> set[int]:
        """Let each go where it costs least; who went."""
        gone: set[int] = set()
        for worker in workers:
            costs, old = self.costs[worker], self.places[worker]
            least, cpu = min((costs[mate], mate) for mate in self.mates[old])
            open_to_all = list(map(add, costs, self.taken))
            elsewhere = min(open_to_all)
            if elsewhere < least:
                least, cpu = elsewhere, open_to_all.index(elsewhere)
            if least < costs[old] - _GAIN_FLOOR:
                self._move(worker, cpu)
                gone.add(worker)
        self.work_cells -= (2 * len(self.rows) + _PASS_CELLS) * len(workers)
        return gone

    def _exchanges(self, workers: Sequence[int]) -> set[int]:
        """Let each exchange its place with the worker with whom that helps most; who did."""
        gone: set[int] = set()
        own = [costs[place] for costs, place in zip(self.costs, self.places, strict=True)]
        for worker in workers:
            place = self.places[worker]
            costs = self.costs[worker]
            here = [others[place] for others in self.costs]  # what the others would cost in its place
            gains = [
                costs[there] + more - less for there, more, less in zip(self.places, here, own, strict=True)
            ]
            for other, weight in self.talks[worker]:  # who talk stay as far apart as they are
                gains[other] += 2 * weight * self.rows[place][self.places[other]]
            gains[worker] = own[worker]
            least = min(gains)
            if least < own[worker] - _GAIN_FLOOR:
                other = gains.index(least)
                self._exchange(worker, other)
                gone.update((worker, other))
                own = [costs[place] for costs, place in zip(self.costs, self.places, strict=True)]
        self.work_cells -= (4 * self.workers + _PASS_CELLS) * len(workers)
        return gone

    def _exchange(self, one: int, other: int) -> None:
        a, b = self.places[one], self.places[other]
        self.places[one], self.places[other] = b, a
        there = list(map(sub, self.rows[b], self.rows[a]))
        self._count(one, there)
        self._count(other, [-ns for ns in there])

    def _replace_part(self, outlook: list[float]) -> list[int]:
        """Take a connected part of the workers out and place it anew, begun elsewhere; who that is."""
        size = self.random.randint(1, max(1, self.workers // 2))
        kept = set(range(self.workers))
        part = along(self.talks, self.random.randrange(self.workers), count=size)
        kept.difference_update(part)
        left = [self._take(worker) for worker in part]
        order = along(self.talks, self.random.choice(part), kept)
        if self.random.random() < 0.5:
            free = [cpu for cpu, cost in enumerate(self.taken) if cost == 0.0]
            some = self.random.sample(free, min(_SOMEWHERE, len(free)))
            first = order.pop(0)
            self._put(first, min(some, key=self._prospects(first, outlook).__getitem__))
        self._place(order, outlook, left)
        return part
