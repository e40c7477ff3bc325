"""Which worker on which CPU, where only some pairs of workers talk: pipelines and sparse communication.

This is the quadratic assignment problem (Koopmans and Beckmann, Econometrica 25, 1957), which is NP-hard.
Where CPUs form clusters that don't hold all workers, it is solved by halves: the workers are divided among
the clusters (`partition`), then each gets its CPU (`places`). Large machines without clusters are
searched among the CPUs of their densest neighbourhoods. The result is settled among all CPUs.

CPUs are positions 0…n-1, workers 0…k-1; `rows[i][j]` is what i and j cost each other (symmetric, 0 on the
diagonal).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Final

from toposcope.advise.clusters import Clusters, clusters_of
from toposcope.advise.neighbourhoods import mates_of, pool
from toposcope.advise.partition import partitioned
from toposcope.advise.places import Search
from toposcope.advise.talks import Talks, WeightedEdge, talks_of

Rows = Sequence[Sequence[float]]

WORK_CELLS: Final = 1_500_000  # about 60 ms on a 3 GHz core
_LARGE_CPUS: Final = 256  # beyond, reading the matrix and making the pool take their part of 100 ms
_LARGE_SHARE: Final = 0.25
_PARTITION_SHARE: Final = 0.5
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
    talks, mates = talks_of(workers, edges), mates_of(groups)
    cells = int(work_cells * (_LARGE_SHARE if len(rows) > _LARGE_CPUS else 1))
    clusters = clusters_of(rows, groups, workers)
    if clusters is not None:
        return _by_clusters(rows, groups, clusters, talks, cells)
    if len(rows) <= _WHOLE_CPUS:
        return Search(rows, mates, talks, cells).run()
    inner = pool(rows, mates, workers, _pool_cpus(workers)).positions
    inside = Search(_among(rows, inner), mates_of([groups[cpu] for cpu in inner]), talks, cells).run()
    return Search(rows, mates, talks, cells).settled([inner[at] for at in inside])


def _pool_cpus(workers: int) -> int:
    return max(_POOL_CPUS, min(_POOL_OF_WORKERS * workers, workers + _POOL_BESIDE))


def _by_clusters(
    rows: Rows, groups: Sequence[int], clusters: Clusters, talks: Talks, work_cells: int
) -> list[int]:
    for_clusters = int(_PARTITION_SHARE * work_cells)
    cluster_of, left = partitioned(clusters.rows, clusters.rooms, talks, for_clusters)
    inner = sorted(cpu for cluster in set(cluster_of) for cpu in clusters.members[cluster])
    at = {cpu: position for position, cpu in enumerate(inner)}
    mates = mates_of([groups[cpu] for cpu in inner])
    search = Search(_among(rows, inner), mates, talks, work_cells - for_clusters + left)
    places = search.run_within([[at[cpu] for cpu in clusters.members[cluster]] for cluster in cluster_of])
    return Search(rows, mates_of(groups), talks, work_cells).settled([inner[place] for place in places])


def _among(rows: Rows, positions: Sequence[int]) -> Rows:
    pick = itemgetter(*positions, positions[-1])  # one more, so that it always makes a tuple
    return [pick(rows[position])[:-1] for position in positions]
