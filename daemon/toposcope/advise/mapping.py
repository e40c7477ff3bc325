"""Which worker on which CPU, where only some pairs of workers talk: pipelines and sparse communication.

This is the quadratic assignment problem (Koopmans and Beckmann, Econometrica 25, 1957), which is NP-hard.
Where CPUs form clusters that don't hold all workers, it is solved by halves: the workers are divided among
the clusters (`partition`), then each gets its CPU (`places`). Large machines without clusters are searched
among the CPUs of their densest neighbourhoods. The better of it is bent once more (`anneal`); the best of
several such runs from other starts is settled among all CPUs.

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
from toposcope.advise.talks import Talks, WeightedEdge, cost_of, heaviest, talks_of

Rows = Sequence[Sequence[float]]

WORK_CELLS: Final = 20_000_000  # about 1 s of CPU on an EPYC Milan
_RUN_CELLS: Final = 4_000_000  # several runs from other starts find more than a long one
_SMALL_CELLS: Final = 50_000  # for each CPU and worker: small machines are soon searched
_PLACED_OFTEN: Final = 20  # a run that places all workers less often finds little
_LARGE_CPUS: Final = 256  # beyond, what comes before the search takes its part of 100 ms
_LARGE_CELLS: Final = 500_000
_PARTITION_SHARE: Final = 0.5
_PARTNERS: Final = 12  # of each worker are looked at: of more, the lightest decide little and cost most
_ANNEALING_SHARE: Final = 0.3
_MOVE_CELLS: Final = 20  # what a move tried costs,
_PARTNER_CELLS: Final = 15  # and at each partner
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
    talks = heaviest(talks_of(workers, edges), _PARTNERS)
    cells = min(work_cells, _SMALL_CELLS * len(rows) * workers)
    if len(rows) > _LARGE_CPUS:
        cells = min(cells, _LARGE_CELLS)
    ways = clusterings(rows, groups, workers)
    all_partners = sum(map(len, talks))
    runs = max(1, cells // max(_RUN_CELLS, _PLACED_OFTEN * all_partners * len(rows)))

    def cost(places: Sequence[int]) -> float:
        return communication_cost(rows, edges, places)

    best = min((_run(rows, groups, ways, talks, cells // runs, number) for number in range(runs)), key=cost)
    # Among all partners, not only the heaviest, the best before may be the better one.
    return min((Search(rows, mates_of(groups), talks, cells).settled(best), best), key=cost)


def _run(
    rows: Rows, groups: Sequence[int], ways: Sequence[Clusters], talks: Talks, work_cells: int, number: int
) -> list[int]:
    """Each way once, the best of them bent; another `number` begins elsewhere."""
    is_plain = all(max(clusters.rooms) <= _THREADS_OF_A_CORE for clusters in ways)
    for_moves = int(_ANNEALING_SHARE * work_cells)
    share = (work_cells - for_moves) // (len(ways) + is_plain)
    found = [_by_clusters(rows, groups, clusters, talks, share, number) for clusters in ways]
    if is_plain:
        found.append(_by_cpus(rows, groups, talks, share, number))
    best = min(found, key=lambda places: cost_of(rows, talks, places))
    cells_of_move = _MOVE_CELLS + _PARTNER_CELLS * sum(map(len, talks)) // len(talks)
    return annealed(rows, groups, talks, best, for_moves // cells_of_move, number)


def _by_cpus(rows: Rows, groups: Sequence[int], talks: Talks, work_cells: int, number: int) -> list[int]:
    mates = mates_of(groups)
    if len(rows) <= _WHOLE_CPUS:
        return Search(rows, mates, talks, work_cells, number).run()
    inner = pool(rows, mates, len(talks), _pool_cpus(len(talks))).positions
    inside = Search(_among(rows, inner), mates_of([groups[cpu] for cpu in inner]), talks, work_cells, number)
    return [inner[at] for at in inside.run()]


def _pool_cpus(workers: int) -> int:
    return max(_POOL_CPUS, min(_POOL_OF_WORKERS * workers, workers + _POOL_BESIDE))


def _by_clusters(
    rows: Rows, groups: Sequence[int], clusters: Clusters, talks: Talks, work_cells: int, number: int
) -> list[int]:
    for_clusters = int(_PARTITION_SHARE * work_cells)
    cluster_of, left = partitioned(clusters.rows, clusters.rooms, talks, for_clusters, number)
    inner = _around(clusters, set(cluster_of))
    at = {cpu: position for position, cpu in enumerate(inner)}
    mates = mates_of([groups[cpu] for cpu in inner])
    search = Search(_among(rows, inner), mates, talks, work_cells - for_clusters + left, number)
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
