"""Which worker on which CPU, where only some pairs of workers talk: pipelines and sparse communication.

This is the quadratic assignment problem (Koopmans and Beckmann, Econometrica 25, 1957), which is NP-hard.
Where CPUs form clusters that don't hold all workers, it is solved by halves: the workers are divided among
the clusters (`partition`), then each gets its CPU (`places`). Large machines without clusters are searched
among the CPUs of their densest neighbourhoods. The best of it is bent once more (`anneal`) and settled among
all CPUs.

CPUs are positions 0…n-1, workers 0…k-1; `rows[i][j]` is what i and j cost each other (symmetric, 0 on the
diagonal).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Final

from toposcope.advise.anneal import annealed
from toposcope.advise.clusters import Clusters, clusterings
from toposcope.advise.neighbourhoods import mates_of, pool
from toposcope.advise.partition import partitioned
from toposcope.advise.places import Search
from toposcope.advise.talks import Talks, WeightedEdge, heaviest, talks_of

Rows = Sequence[Sequence[float]]

WORK_CELLS: Final = 2_500_000  # 110 to 120 ms of CPU beside other work, on an EPYC Milan
_LARGE_CPUS: Final = 256  # beyond, what comes before the search takes its part of 100 ms
_LARGE_SHARE: Final = 0.2
_PARTITION_SHARE: Final = 0.5
_PARTNERS: Final = 12  # of each worker are looked at: of more, the lightest decide little and cost most
_ANNEALING_SHARE: Final = 0.3
_MOVE_CELLS: Final = 50  # what a move tried costs
_THREADS_OF_A_CORE: Final = 2  # clusters that hold no more say little about where to go
_AROUND_CPUS: Final = 64
_WHOLE_CPUS: Final = 96  # machines of up to so many are searched as a whole
_POOL_CPUS: Final = 64  # of larger ones at least so many: passes over more left time for too few of them
_POOL_OF_WORKERS: Final = 4  # so many for each worker,
_POOL_BESIDE: Final = 128  # but no more than so many beside the workers


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
    talks, mates = heaviest(talks_of(workers, edges), _PARTNERS), mates_of(groups)
    cells = int(work_cells * (_LARGE_SHARE if len(rows) > _LARGE_CPUS else 1))
    ways = clusterings(rows, groups, workers)
    is_plain = all(max(clusters.rooms) <= _THREADS_OF_A_CORE for clusters in ways)
    for_moves = int(_ANNEALING_SHARE * cells)
    share = (cells - for_moves) // (len(ways) + is_plain)
    found = [_by_clusters(rows, groups, clusters, talks, share) for clusters in ways]
    if is_plain:
        found.append(_by_cpus(rows, groups, talks, share))

    def cost(places: Sequence[int]) -> float:
        return communication_cost(rows, edges, places)

    best = min(found, key=cost)
    bent = annealed(rows, groups, talks, best, for_moves // _MOVE_CELLS)
    # Among all partners, not only the heaviest, the best before may be the better one.
    return min((Search(rows, mates, talks, cells).settled(bent), best), key=cost)


def _by_cpus(rows: Rows, groups: Sequence[int], talks: Talks, work_cells: int) -> list[int]:
    mates = mates_of(groups)
    if len(rows) <= _WHOLE_CPUS:
        return Search(rows, mates, talks, work_cells).run()
    inner = pool(rows, mates, len(talks), _pool_cpus(len(talks))).positions
    inside = Search(_among(rows, inner), mates_of([groups[cpu] for cpu in inner]), talks, work_cells)
    return [inner[at] for at in inside.run()]


def _pool_cpus(workers: int) -> int:
    return max(_POOL_CPUS, min(_POOL_OF_WORKERS * workers, workers + _POOL_BESIDE))


def _by_clusters(
    rows: Rows, groups: Sequence[int], clusters: Clusters, talks: Talks, work_cells: int
) -> list[int]:
    for_clusters = int(_PARTITION_SHARE * work_cells)
    cluster_of, left = partitioned(clusters.rows, clusters.rooms, talks, for_clusters)
    inner = _around(clusters, set(cluster_of))
    at = {cpu: position for position, cpu in enumerate(inner)}
    mates = mates_of([groups[cpu] for cpu in inner])
    search = Search(_among(rows, inner), mates, talks, work_cells - for_clusters + left)
    places = search.run_within([[at[cpu] for cpu in clusters.members[cluster]] for cluster in cluster_of])
    return [inner[place] for place in places]


def _around(clusters: Clusters, used: set[int]) -> list[int]:
    """The CPUs of the clusters in use, and of the nearest others while they are few."""
    near = [min(row[cluster] for cluster in used) for row in clusters.rows]
    inner: list[int] = []
    for cluster in sorted(range(len(near)), key=lambda one: (one not in used, near[one], one)):
        if cluster not in used and len(inner) + len(clusters.members[cluster]) > _AROUND_CPUS:
            break
        inner += clusters.members[cluster]
    return sorted(inner)


def _among(rows: Rows, positions: Sequence[int]) -> Rows:
    pick = itemgetter(*positions, positions[-1])  # one more, so that it always makes a tuple
    return [pick(rows[position])[:-1] for position in positions]
