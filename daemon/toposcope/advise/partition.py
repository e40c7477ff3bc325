"""Which worker in which cluster of CPUs, where only some pairs of workers talk.

Graph partitioning with room in each part and a distance between any two of them: the first and greater half
of placing sparse communication, as process mapping is done by halves since SCOTCH (F. Pellegrini, 1994).
Greedy along the edges from several workers; from there tabu search (F. Glover, ORSA Journal on Computing 1,
1989; moves to the cluster of a partner, or an exchange where that is full); where that has found nothing for
a while, a connected part of the best is placed anew. Deterministic, with a limit on cells looked at.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import add, mul, sub
from typing import Final

from toposcope.advise.talks import Talks, along, cost_of, most_talkative

Rows = Sequence[Sequence[float]]

_STARTS: Final = 24  # made, of which
_STARTS_TAKEN: Final = 6  # so many, all different, are improved
_DIGITS: Final = 6  # costs that differ by less are the same
_PATIENCE_STEPS: Final = 20
_TABU_STEPS: Final = (2, 6)  # who left a cluster may not come back for so many
_REPLACED_SHARE: Final = 0.7  # of all workers at most
_STEP_CELLS: Final = 20  # what looking at a worker costs,
_PARTNER_CELLS: Final = 8  # at each of its partners,
_PASS_CELLS: Final = 60  # and a pass over all clusters beside its cells
_INFINITE: Final = float("inf")
_GAIN_FLOOR: Final = 1e-9


def partitioned(
    rows: Rows, rooms: Sequence[int], talks: Talks, work_cells: int, number: int = 0
) -> tuple[list[int], int]:
    """The cluster of each worker, so that talking costs (nearly) the least; and the cells that are left.

    `rows[c][d]` is what workers in clusters c and d cost each other (symmetric, the diagonal within one),
    `rooms[c]` how many find room. Another `number` makes other starts and draws other parts.
    """
    search = _Partition(rows, rooms, talks, work_cells, number)
    search.run()
    return search.best, search.work_cells


class _Partition:
    """`costs[w][c]` is what worker w would cost in cluster c; its lists are never changed in place."""

    def __init__(self, rows: Rows, rooms: Sequence[int], talks: Talks, work_cells: int, number: int) -> None:
        self.rows, self.rooms, self.talks = rows, rooms, talks
        self.work_cells = work_cells
        self.random = random.Random(f"{len(talks)} {number}")
        self.first_start = number * _STARTS
        self.talking = [worker for worker, heard in enumerate(talks) if heard]
        self.pass_cells = 2 * len(rooms) + _PASS_CELLS
        self.step_cells = _STEP_CELLS * len(self.talking) + _PARTNER_CELLS * sum(map(len, talks))
        self.partners = [dict(heard) for heard in talks]
        self.best: list[int] = []
        self.best_cost = _INFINITE
        self.step_number = 0
        self._load(self._grown([-1] * len(talks), range(len(talks)), None))

    def run(self) -> None:
        for start in self._starts(self.work_cells // 2):
            self._load(start)
            self._improve()
            if self.work_cells < 0:
                break
        while self.work_cells > 0 and self.talking:
            self._load(self._partly_anew())
            self._improve()

    def _starts(self, cells_kept: int) -> list[list[int]]:
        """From those who talk most, in the clusters that are nearest to others; the cheapest of them."""
        seeds = sorted(range(len(self.rows)), key=lambda cluster: sum(sorted(self.rows[cluster])[:3]))
        talkative = most_talkative(self.talks)
        starts: dict[float, list[int]] = {}
        for number in range(self.first_start, self.first_start + _STARTS):
            first = talkative[number % len(talkative)]
            places = self._grown(
                [-1] * len(self.talks), along(self.talks, first), seeds[number // 2 % len(seeds)]
            )
            starts.setdefault(round(cost_of(self.rows, self.talks, places), _DIGITS), places)
            if self.work_cells < cells_kept:
                break
        return [starts[cost] for cost in sorted(starts)[:_STARTS_TAKEN]]

    def _grown(self, places: list[int], order: Iterable[int], first: int | None) -> list[int]:
        """`places` with the workers of `order` where they cost least then; the first of them at `first`."""
        room = list(self.rooms)
        for cluster in places:
            if cluster >= 0:
                room[cluster] -= 1
        for worker in order:
            costs = [0.0] * len(room)
            placed = [(places[other], weight) for other, weight in self.talks[worker] if places[other] >= 0]
            for cluster, weight in placed:
                costs = list(map(add, costs, map(mul, self.rows[cluster], repeat(weight))))
            with_room = [cluster for cluster, left in enumerate(room) if left]
            if first is not None and room[first]:
                chosen, first = first, None
            elif placed:
                chosen = min(with_room, key=costs.__getitem__)
            else:
                chosen = max(with_room, key=room.__getitem__)
            places[worker] = chosen
            room[chosen] -= 1
            self.work_cells -= self.pass_cells * (1 + len(placed))
        return places

    def _load(self, places: list[int]) -> None:
        self.places = places
        self.members: list[list[int]] = [[] for _ in self.rooms]
        for worker, cluster in enumerate(places):
            self.members[cluster].append(worker)
        self.costs = []
        for heard in self.talks:
            costs = [0.0] * len(self.rooms)
            for other, weight in heard:
                costs = list(map(add, costs, map(mul, self.rows[places[other]], repeat(weight))))
            self.costs.append(costs)
        self.work_cells -= self.pass_cells * sum(map(len, self.talks))
        self.tabu_until = [[0] * len(self.rooms) for _ in self.talks]
        self.cost = cost_of(self.rows, self.talks, places)
        self._keep()

    def _keep(self) -> bool:
        """Whether this is the best so far."""
        if self.cost >= self.best_cost - _GAIN_FLOOR:
            return False
        self.best, self.best_cost = self.places[:], self.cost
        return True

    def _improve(self) -> None:
        patience = _PATIENCE_STEPS
        while patience and self.work_cells > 0:
            self._step()
            patience = _PATIENCE_STEPS if self._keep() else patience - 1

    def _step(self) -> None:
        """The best move or exchange that isn't tabu, or leads to the best so far; it may be for the worse."""
        self.step_number += 1
        best, choice = _INFINITE, None
        for worker in self.talking:
            here = self.places[worker]
            costs = self.costs[worker]
            own = costs[here]
            for there in set(map(self.places.__getitem__, self.partners[worker])):
                gain = costs[there] - own
                if there == here or gain >= best + own:  # nobody's leaving saves more than that here
                    continue
                other = -1
                if len(self.members[there]) == self.rooms[there]:
                    other, more = self._cheapest_exchange(worker, there, gain)
                    gain += more
                if gain < best and self._may(worker, there, gain):
                    best, choice = gain, (worker, there, other)
        self.work_cells -= self.step_cells
        if choice is None:
            return
        worker, there, other = choice
        here = self.places[worker]
        self._move(worker, there)
        if other >= 0:
            self._move(other, here)
        self.cost += best

    def _cheapest_exchange(self, worker: int, there: int, gain: float) -> tuple[int, float]:
        """Who of `there` should make room, and what that costs; `gain` is the worker's own."""
        here = self.places[worker]
        partners = self.partners[worker]
        stays = 2 * self.rows[here][there] - self.rows[here][here] - self.rows[there][there]
        chosen, least = -1, _INFINITE
        costs = self.costs
        for other in self.members[there]:
            more = costs[other][here] - costs[other][there]
            if other in partners:  # who talk stay as far apart as they are
                more += partners[other] * stays
            if more < least and self._may(other, here, gain + more):
                chosen, least = other, more
        return chosen, least

    def _may(self, worker: int, cluster: int, gain: float) -> bool:
        is_free = self.tabu_until[worker][cluster] < self.step_number
        return is_free or self.cost + gain < self.best_cost - _GAIN_FLOOR

    def _move(self, worker: int, there: int) -> None:
        here = self.places[worker]
        self.places[worker] = there
        self.members[here].remove(worker)
        self.members[there].append(worker)
        self.tabu_until[worker][here] = self.step_number + self.random.randrange(*_TABU_STEPS)
        self.work_cells -= self.pass_cells * len(self.talks[worker])
        difference = list(map(sub, self.rows[there], self.rows[here]))
        for other, weight in self.talks[worker]:
            self.costs[other] = list(map(add, self.costs[other], map(mul, difference, repeat(weight))))

    def _partly_anew(self) -> list[int]:
        """The best with a connected part of the workers placed anew, in half of the cases begun elsewhere."""
        size = self.random.randint(2, max(2, int(_REPLACED_SHARE * len(self.talks))))
        part = along(self.talks, self.random.choice(self.talking), count=size)
        places = self.best[:]
        for worker in part:
            places[worker] = -1
        kept = [worker for worker, cluster in enumerate(places) if cluster >= 0]
        order = along(self.talks, self.random.choice(part), kept)
        first = self.random.randrange(len(self.rooms)) if self.random.random() < 0.5 else None
        return self._grown(places, order, first)
