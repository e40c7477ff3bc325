"""CPUs that are near each other and far from the rest, as far as latencies tell: the caches' domains, mostly.

Cut where single linkage (R. Sibson, The Computer Journal 16, 1973) has its widest gap: all pairs by which
clusters hang together are nearer than any that leads out of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

Rows = Sequence[Sequence[float]]

_GAP_RATIO: Final = 1.15  # what leads out of a cluster is at least so much farther
_CUTS: Final = 6  # the widest gaps that are looked at
_CLUSTERINGS: Final = 2
_CLUSTERS_MAX: Final = 128  # the distances between more cost more time than they save
_WITHIN_SHARE: Final = 0.3  # of the pairs, the nearest, make the distance within a cluster
_BETWEEN_SHARE: Final = 0.1  # and of those between clusters
_BETWEEN_CPUS: Final = 8  # of each cluster at most so many are looked at for that


@dataclass(frozen=True, slots=True)
class Clusters:
    """`members[c]` positions, `rooms[c]` how many workers fit, `rows[c][d]` their distance."""

    members: list[list[int]]
    rooms: list[int]
    rows: list[list[float]]


def clusterings(rows: Rows, groups: Sequence[int], workers: int) -> list[Clusters]:
    """The clusters at the widest gaps, the widest first, at most two ways; none of them holds all workers.

    Of each group (core) one position is used at most, so a cluster holds as many workers as groups.
    """
    order, heights = _linked(rows)
    gaps = sorted(((high / low, low) for low, high in pairwise(sorted(heights)) if low > 0), reverse=True)
    found: list[Clusters] = []
    for ratio, within in gaps[:_CUTS]:
        if ratio < _GAP_RATIO or len(found) == _CLUSTERINGS:
            break
        members = _runs(order, heights, within)
        if len(members) > _CLUSTERS_MAX:
            continue
        rooms = [len({groups[position] for position in cluster}) for cluster in members]
        if 1 < max(rooms) < workers and sum(rooms) == len(set(groups)):  # no core in two of them
            found.append(Clusters(members, rooms, _distances(rows, groups, members)))
    return found


def _linked(rows: Rows) -> tuple[list[int], list[float]]:
    """All positions, always the nearest to those before it next, and how near each was to them.

    The order of Prim's minimum spanning tree: what hangs together below a height stands in one run of it.
    """
    left = list(range(1, len(rows)))
    nearest = list(rows[0][1:])
    order, heights = [0], []
    while left:
        height = min(nearest)
        at = nearest.index(height)
        position = left.pop(at)
        del nearest[at]
        order.append(position)
        heights.append(height)
        row = rows[position]
        nearest = [
            near if near < row[other] else row[other] for near, other in zip(nearest, left, strict=True)
        ]
    return order, heights


def _runs(order: Sequence[int], heights: Sequence[float], within: float) -> list[list[int]]:
    runs = [[order[0]]]
    for position, height in zip(order[1:], heights, strict=True):
        if height > within:
            runs.append([])
        runs[-1].append(position)
    return sorted(sorted(run) for run in runs)


def _distances(rows: Rows, groups: Sequence[int], members: Sequence[Sequence[int]]) -> list[list[float]]:
    """Means of the nearest pairs only: of all pairs few are needed, and the best can be had.

    Within a cluster (0 where it has but one group) that is told half by the pairs by which it hangs together.
    """
    distances = [[0.0] * len(members) for _ in members]
    some = [cluster[:: -(-len(cluster) // _BETWEEN_CPUS)] for cluster in members]
    for one, here in enumerate(members):
        firsts = list({groups[position]: position for position in here}.values())
        pairs = sorted(rows[a][b] for a in here for b in here if groups[a] != groups[b])
        if pairs:
            _, links = _linked([[rows[a][b] for b in firsts] for a in firsts])
            distances[one][one] = (sum(links) / len(links) + _mean_of_first(pairs, _WITHIN_SHARE)) / 2
        for other in range(one):
            between = sorted(rows[a][b] for a in some[one] for b in some[other])
            distances[one][other] = distances[other][one] = _mean_of_first(between, _BETWEEN_SHARE)
    return distances


def _mean_of_first(ascending: Sequence[float], share: float) -> float:
    first = ascending[: max(1, round(share * len(ascending)))]
    return sum(first) / len(first)
