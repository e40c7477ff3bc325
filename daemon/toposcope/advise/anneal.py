"""The last touch to a placement: simulated annealing (S. Kirkpatrick et al., Science 220, 1983) from it.

One worker at a time tries a CPU near one of its partners, or now and then any; who holds a thread of that
core changes places with it. Such a move costs a few table reads, so that thousands are tried. It begins
little above freezing: what was found before is bent, not melted. Deterministic.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from heapq import nsmallest
from typing import Final

from toposcope.advise.talks import Talks, cost_of

Rows = Sequence[Sequence[float]]

_WARM: Final = 0.3  # of the mean cost of an edge: how much worse a move may be at first,
_COLD: Final = 0.02  # and at last
_NEAR: Final = 4  # CPUs near a partner that are tried
_ANYWHERE_SHARE: Final = 0.1
_GAIN_FLOOR: Final = 1e-9


def annealed(
    rows: Rows, groups: Sequence[int], talks: Talks, places: Sequence[int], moves: int, number: int = 0
) -> list[int]:
    """The cheapest placement met in `moves` tried from `places`; of each group at most one.

    Another `number` draws other moves.
    """
    ends = [(worker, other) for worker, heard in enumerate(talks) for other, _ in heard]
    at = list(places)
    cost = cost_of(rows, talks, at)
    if not ends or cost <= 0:
        return at
    source = random.Random(f"{len(talks)} {number}").random
    holder = {groups[cpu]: worker for worker, cpu in enumerate(at)}
    near: dict[int, list[int]] = {}
    warmth = _WARM * cost / (len(ends) / 2)
    cooling = (_COLD / _WARM) ** (1 / max(1, moves))
    best_cost, best = cost, at[:]
    for _ in range(moves):
        warmth *= cooling
        worker, partner = ends[int(source() * len(ends))]
        old = at[worker]
        if source() < _ANYWHERE_SHARE:
            new = int(source() * len(rows))
        else:
            beside = at[partner]
            if beside not in near:
                near[beside] = _nearest(rows[beside], beside)
            new = near[beside][int(source() * len(near[beside]))]
        if new == old:
            continue
        other = holder.get(groups[new], worker)
        if other != worker:
            new = at[other]
        more = _difference(rows, talks[worker], at, old, new, other)
        if other != worker:
            more += _difference(rows, talks[other], at, new, old, worker)
        if more > 0 and more > -warmth * math.log(source() or 1.0):
            continue
        del holder[groups[old]]
        if other != worker:
            at[other] = old
            holder[groups[old]] = other
        at[worker] = new
        holder[groups[new]] = worker
        cost += more
        if cost < best_cost - _GAIN_FLOOR:
            best_cost, best = cost, at[:]
    return best


def _nearest(row: Sequence[float], cpu: int) -> list[int]:
    return [one for one in nsmallest(_NEAR + 1, range(len(row)), key=row.__getitem__) if one != cpu]


def _difference(
    rows: Rows, heard: Sequence[tuple[int, float]], at: Sequence[int], old: int, new: int, changed: int
) -> float:
    """What going from `old` to `new` costs more; `changed` goes the other way and stays as far."""
    here, there = rows[old], rows[new]
    more = 0.0
    for other, weight in heard:
        if other != changed:
            place = at[other]
            more += weight * (there[place] - here[place])
    return more
