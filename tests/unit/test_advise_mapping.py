"""Pipelines and sparse communication, against every assignment on small machines."""

from __future__ import annotations

import itertools
import random

import pytest

from shared_material import shared_path
from toposcope.advise.mapping import WORK_CELLS, communication_cost, mapped, pipeline_edges
from toposcope.advise.talks import WeightedEdge
from toposcope.matrix import read_matrix

Rows = list[list[float]]


def _noise(count: int, seed: int) -> Rows:
    source = random.Random(seed)
    rows = [[0.0] * count for _ in range(count)]
    for a, b in itertools.combinations(range(count), 2):
        rows[a][b] = rows[b][a] = source.choice((8.0, 25.0, 90.0)) * source.uniform(0.9, 1.1)
    return rows


def _exhaustive(rows: Rows, groups: list[int], workers: int, edges: list[WeightedEdge]) -> float:
    return min(
        communication_cost(rows, edges, places)
        for places in itertools.permutations(range(len(rows)), workers)
        if len({groups[cpu] for cpu in places}) == workers
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_pipeline_takes_the_shortest_path(seed: int) -> None:
    rows, groups, edges = _noise(9, seed), list(range(9)), pipeline_edges(5)
    places = mapped(rows, groups, 5, edges)
    assert len(set(places)) == 5
    assert communication_cost(rows, edges, places) == pytest.approx(_exhaustive(rows, groups, 5, edges))


@pytest.mark.parametrize("seed", range(5))
def test_sparse_communication_weighted(seed: int) -> None:
    source = random.Random(100 + seed)
    edges = [
        (a, b, source.uniform(1, 9)) for a, b in itertools.combinations(range(5), 2) if source.random() < 0.5
    ]
    rows, groups = _noise(9, seed), [0, 0, 1, 2, 3, 4, 5, 6, 7]
    places = mapped(rows, groups, 5, edges)
    assert len({groups[cpu] for cpu in places}) == 5
    assert communication_cost(rows, edges, places) == pytest.approx(_exhaustive(rows, groups, 5, edges))


def test_the_heavier_edge_gets_the_nearer_pair() -> None:
    rows = [[0.0, 5.0, 50.0], [5.0, 0.0, 50.0], [50.0, 50.0, 0.0]]
    places = mapped(rows, [0, 1, 2], 3, [(0, 1, 1.0), (1, 2, 10.0)])
    assert {places[1], places[2]} == {0, 1}


def test_all_cpus_used_and_nobody_talking() -> None:
    rows = _noise(4, 1)
    assert sorted(mapped(rows, [0, 1, 2, 3], 4, pipeline_edges(4))) == [0, 1, 2, 3]
    assert len(set(mapped(rows, [0, 1, 2, 3], 3, []))) == 3
    assert communication_cost(rows, [], [0, 1]) == 0.0


@pytest.mark.parametrize(
    ("name", "workers"), [("xeon-e5-2620v2-2s", 8), ("ryzen-5950x", 8), ("ryzen-5950x", 16)]
)
def test_a_tenth_of_the_work_finds_nearly_the_same(name: str, workers: int) -> None:
    matrix = read_matrix(shared_path("latency_matrices", f"{name}.csv"))
    rows = [[ns or 0.0 for ns in row] for row in matrix.symmetric()]
    edges, groups = pipeline_edges(workers), list(range(len(rows)))
    short = communication_cost(rows, edges, mapped(rows, groups, workers, edges, WORK_CELLS // 10))
    long = communication_cost(rows, edges, mapped(rows, groups, workers, edges))
    assert short <= 1.02 * long


def _large_machine(near_domain: int) -> Rows:
    """384 CPUs in domains of 16, two threads a core; one domain is nearer than the others."""
    source = random.Random(5)
    rows = [[0.0] * 384 for _ in range(384)]
    for a, b in itertools.combinations(range(384), 2):
        level_ns = 200.0
        if a // 16 == b // 16:
            level_ns = 30.0 if a // 16 == near_domain else 40.0
        level_ns = 8.0 if a // 2 == b // 2 else level_ns
        rows[a][b] = rows[b][a] = level_ns * source.uniform(0.98, 1.02)
    return rows


@pytest.mark.parametrize("near", [0, 7, 23])
def test_a_large_machine_is_searched_where_it_is_nearest(near: int) -> None:
    rows = _large_machine(near)
    cores = [cpu // 2 for cpu in range(384)]
    places = mapped(rows, cores, 8, pipeline_edges(8))
    assert {place // 16 for place in places} == {near}
    assert len({cores[place] for place in places}) == 8


def test_each_of_several_pairs_gets_a_core() -> None:
    """Pairs that have nothing to do with each other: every one finds two threads of a core."""
    rows = _large_machine(3)
    edges = [(2 * pair, 2 * pair + 1, 1.0 + pair) for pair in range(6)]
    places = mapped(rows, range(384), 12, edges)
    assert all(places[one] // 2 == places[other] // 2 for one, other, _ in edges)
