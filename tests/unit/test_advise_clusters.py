"""Clusters of near CPUs, and workers divided among them, against every division on small machines."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toposcope.advise.anneal import annealed
from toposcope.advise.clusters import clusterings
from toposcope.advise.mapping import WORK_CELLS, communication_cost, mapped, pipeline_edges
from toposcope.advise.partition import partitioned
from toposcope.advise.talks import WeightedEdge, along, heaviest, most_talkative, talks_of

Rows = list[list[float]]
_WORK_CELLS = 500_000


def _machine(domains: int, cores: int, seed: int, far_ns: float = 90.0) -> tuple[Rows, list[int]]:
    """`domains` of `cores` with two threads each, numbered at random; rows, and the domain of each CPU."""
    source = random.Random(seed)
    count = domains * cores * 2
    order = source.sample(range(count), count)
    rows = [[0.0] * count for _ in range(count)]
    for a, b in itertools.combinations(range(count), 2):
        level_ns = 8.0 if a // 2 == b // 2 else 25.0 if a // (2 * cores) == b // (2 * cores) else far_ns
        one, other = order[a], order[b]
        rows[one][other] = rows[other][one] = level_ns * source.uniform(0.95, 1.05)
    domain_of = [0] * count
    for cpu, at in enumerate(order):
        domain_of[at] = cpu // (2 * cores)
    return rows, domain_of


def _sparse(workers: int, seed: int) -> list[WeightedEdge]:
    source = random.Random(seed)
    pairs = source.sample(list(itertools.combinations(range(workers), 2)), workers)
    return [(a, b, source.uniform(1, 10)) for a, b in pairs]


@pytest.mark.parametrize("seed", range(3))
def test_clusters_are_the_domains_that_don_t_hold_all_workers(seed: int) -> None:
    rows, domain_of = _machine(4, 3, seed)
    clusters, pairs = clusterings(rows, range(24), 10)
    assert sorted(map(sorted, clusters.members)) == sorted(
        [cpu for cpu in range(24) if domain_of[cpu] == domain] for domain in range(4)
    )
    assert clusters.rooms == [6, 6, 6, 6]
    assert pairs.rooms == [2] * 12
    assert all(clusters.rows[a][a] < clusters.rows[a][b] for a in range(4) for b in range(4) if a != b)


def test_a_core_counts_once_and_workers_that_fit_one_domain_need_no_clusters() -> None:
    rows, _ = _machine(2, 4, 1)
    core_of = [min(cpu, min(range(16), key=lambda other: rows[cpu][other] or 1e9)) for cpu in range(16)]
    (clusters,) = clusterings(rows, core_of, 6)
    assert clusters.rooms == [4, 4]
    assert clusterings(rows, core_of, 4) == []


def test_no_clusters_where_cpus_are_alike_or_a_core_would_be_in_two() -> None:
    source = random.Random(3)
    rows = [[0.0] * 12 for _ in range(12)]
    for a, b in itertools.combinations(range(12), 2):
        rows[a][b] = rows[b][a] = source.uniform(45, 50)
    assert clusterings(rows, range(12), 8) == []
    rows, _ = _machine(2, 3, 1)
    assert all(max(found.rooms) < 3 for found in clusterings(rows, [cpu % 6 for cpu in range(12)], 5))


@pytest.mark.parametrize("seed", range(4))
def test_partition_is_as_good_as_every_division(seed: int) -> None:
    source = random.Random(seed)
    rows = [[0.0] * 3 for _ in range(3)]
    for a, b in itertools.combinations(range(3), 2):
        rows[a][b] = rows[b][a] = source.uniform(60, 120)
    for cluster in range(3):
        rows[cluster][cluster] = source.uniform(15, 30)
    rooms = [3, 2, 4]
    edges = _sparse(8, seed)
    found, _ = partitioned(rows, rooms, talks_of(8, edges), _WORK_CELLS)
    assert all(found.count(cluster) <= room for cluster, room in enumerate(rooms))
    best = min(
        communication_cost(rows, edges, division)
        for division in itertools.product(range(3), repeat=8)
        if all(division.count(cluster) <= room for cluster, room in enumerate(rooms))
    )
    assert communication_cost(rows, edges, found) == pytest.approx(best)


def test_groups_of_workers_that_talk_share_a_domain() -> None:
    """Four rings of six workers on four domains of eight CPUs: none talks to another domain."""
    rows, domain_of = _machine(4, 4, 5)
    rings = [(6 * ring + a, 6 * ring + (a + 1) % 6, 1.0) for ring in range(4) for a in range(6)]
    places = mapped(rows, range(32), 24, rings)
    assert len(set(places)) == 24
    assert all(domain_of[places[a]] == domain_of[places[b]] for a, b, _ in rings)


@pytest.mark.parametrize("seed", range(3))
def test_eight_times_the_work_finds_little_more(seed: int) -> None:
    rows, _ = _machine(8, 4, seed)
    edges = _sparse(32, seed)
    short = communication_cost(rows, edges, mapped(rows, range(64), 32, edges, WORK_CELLS // 8))
    long = communication_cost(rows, edges, mapped(rows, range(64), 32, edges))
    assert short <= 1.05 * long


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4), st.integers(1, 3), st.data(),
)  # fmt: skip
def test_each_worker_gets_a_core_of_its_own(domains: int, cores: int, data: st.DataObject) -> None:
    rows, _ = _machine(domains, cores, data.draw(st.integers(0, 9)))
    count = len(rows)
    groups = data.draw(st.lists(st.integers(0, count - 1), min_size=count, max_size=count))
    workers = data.draw(st.integers(1, len(set(groups))))
    ends = st.integers(0, workers - 1)
    edges = [
        (a, b, weight)
        for a, b, weight in data.draw(st.lists(st.tuples(ends, ends, st.floats(0, 100)), max_size=12))
        if a != b
    ]
    places = mapped(rows, groups, workers, edges, 20_000)
    assert len(places) == workers
    assert len({groups[cpu] for cpu in places}) == workers


@pytest.mark.parametrize("seed", range(3))
def test_annealing_never_makes_it_worse_and_mends_what_was_placed_at_random(seed: int) -> None:
    rows, _ = _machine(4, 4, seed)
    cores = [min(cpu, min(range(32), key=lambda other: rows[cpu][other] or 1e9)) for cpu in range(32)]
    edges = _sparse(12, seed)
    start = random.Random(seed).sample(sorted(set(cores)), 12)
    found = annealed(rows, cores, talks_of(12, edges), start, 5_000)
    assert len({cores[cpu] for cpu in found}) == 12
    assert communication_cost(rows, edges, found) < 0.8 * communication_cost(rows, edges, start)
    good = mapped(rows, cores, 12, edges)
    again = annealed(rows, cores, talks_of(12, edges), good, 2_000)
    assert communication_cost(rows, edges, again) <= communication_cost(rows, edges, good) * (1 + 1e-9)


def test_along_and_most_talkative() -> None:
    talks = talks_of(5, [(0, 1, 1.0), (1, 2, 5.0), (1, 2, 1.0), (3, 4, 2.0), (0, 4, 0.0)])
    assert dict(talks[2]) == {1: 6.0}
    assert 0 not in dict(talks[4])
    assert most_talkative(talks) == [1, 2, 3, 4, 0]
    assert along(talks, 1) == [1, 2, 0, 3, 4]
    assert along(talks, 3, placed=[1]) == [3, 2, 4, 0]
    assert along(talks, 1, count=2) == [1, 2]
    assert heaviest(talks, 1) == [[(1, 1.0)], [(0, 1.0), (2, 6.0)], [(1, 6.0)], [(4, 2.0)], [(3, 2.0)]]
    assert along(talks_of(3, pipeline_edges(3)), 0) == [0, 1, 2]
