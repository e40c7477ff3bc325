"""The search for the nearest set, against all subsets of small machines and published matrices."""

from __future__ import annotations

import itertools
import random

import pytest

from shared_material import shared_path
from toposcope.advise.nearest import mean_cost, nearest_set, total_cost
from toposcope.matrix import read_matrix


def _noise(count: int, seed: int) -> list[list[float]]:
    source = random.Random(seed)
    rows = [[0.0] * count for _ in range(count)]
    for a, b in itertools.combinations(range(count), 2):
        rows[a][b] = rows[b][a] = source.uniform(10, 100)
    return rows


def _exhaustive(rows: list[list[float]], groups: list[int], count: int) -> float:
    return min(
        mean_cost(rows, chosen)
        for chosen in itertools.combinations(range(len(rows)), count)
        if len({groups[cpu] for cpu in chosen}) == count
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_finds_the_best_subset_of_pure_noise(seed: int, count: int) -> None:
    rows = _noise(14, seed)
    groups = list(range(14))
    assert mean_cost(rows, nearest_set(rows, groups, count)) == pytest.approx(
        _exhaustive(rows, groups, count)
    )


@pytest.mark.parametrize("seed", range(4))
def test_takes_at_most_one_of_a_core(seed: int) -> None:
    rows = _noise(14, seed)
    groups = [cpu // 2 for cpu in range(14)]
    for cpu in range(0, 14, 2):
        rows[cpu][cpu + 1] = rows[cpu + 1][cpu] = 1.0  # tempting, and forbidden
    found = nearest_set(rows, groups, 4)
    assert len({groups[cpu] for cpu in found}) == 4
    assert mean_cost(rows, found) == pytest.approx(_exhaustive(rows, groups, 4))


def test_leaves_a_good_start_for_a_better_far_group() -> None:
    """The CPU with the nearest neighbour belongs to a bad group: greedy growth from it alone would fail."""
    rows = [[90.0 if a != b else 0.0 for b in range(24)] for a in range(24)]
    rows[0][1] = rows[1][0] = 1.0
    for a, b in itertools.combinations(range(12, 18), 2):
        rows[a][b] = rows[b][a] = 20.0
    assert nearest_set(rows, list(range(24)), 6) == [12, 13, 14, 15, 16, 17]


def test_everything_and_single_cpus() -> None:
    rows = _noise(6, 1)
    assert nearest_set(rows, list(range(6)), 6) == list(range(6))
    single = nearest_set(rows, list(range(6)), 1)
    assert sum(rows[single[0]]) == min(map(sum, rows))


def test_is_deterministic() -> None:
    rows = _noise(60, 3)
    assert nearest_set(rows, list(range(60)), 9) == nearest_set(rows, list(range(60)), 9)


def test_total_cost_counts_each_pair_once() -> None:
    rows = [[0.0, 2.0, 3.0], [2.0, 0.0, 5.0], [3.0, 5.0, 0.0]]
    assert total_cost(rows, [0, 1, 2]) == 10.0
    assert mean_cost(rows, [1]) == 0.0


@pytest.mark.parametrize(("name", "count"), [("ryzen-3900x", 4), ("xeon-x5650-2s", 4), ("i5-12600k", 6)])
def test_measured_machines_against_all_subsets(name: str, count: int) -> None:
    matrix = read_matrix(shared_path("latency_matrices", f"{name}.csv"))
    rows = [[ns or 0.0 for ns in row] for row in matrix.symmetric()]
    groups = list(range(len(rows)))
    assert mean_cost(rows, nearest_set(rows, groups, count)) == pytest.approx(
        _exhaustive(rows, groups, count)
    )


def test_finds_the_two_near_domains_of_a_large_machine() -> None:
    """40 domains of 8, two a die, at random numbers: the CPUs of the nearest die are found."""
    source = random.Random(5)
    order = source.sample(range(320), 320)
    rows = [[0.0] * 320 for _ in range(320)]
    for a, b in itertools.combinations(range(320), 2):
        base = 30 if a // 8 == b // 8 else (95 if a // 16 == 7 else 100) if a // 16 == b // 16 else 150
        rows[order[a]][order[b]] = rows[order[b]][order[a]] = base * source.gauss(1, 0.01)
    best = sorted(order[112:128])
    assert nearest_set(rows, list(range(320)), 16) == best


@pytest.mark.parametrize("count", [200, 300])
def test_finds_the_nearest_pair_whatever_the_size(count: int) -> None:
    rows = _noise(count, 9)
    groups = [cpu // 2 for cpu in range(count)]
    assert mean_cost(rows, nearest_set(rows, groups, 2)) == _exhaustive(rows, groups, 2)
