"""The pool of a large machine: whole cores of the nearest neighbourhoods, wherever these are."""

from __future__ import annotations

import random

import pytest

from toposcope.advise.nearest import mean_cost, nearest_set
from toposcope.advise.neighbourhoods import POOL_CPUS, mates_of, pool


def _machine(domain_ns: dict[int, float], *, threads: int) -> list[list[float]]:
    """384 CPUs in domains of 16; `domain_ns` names those that differ from 40 ns."""
    source = random.Random(3)
    rows = [[0.0] * 384 for _ in range(384)]
    for a in range(384):
        for b in range(a):
            ns = domain_ns.get(a // 16, 40.0) if a // 16 == b // 16 else 200.0
            ns = 8.0 if a // threads == b // threads else ns
            rows[a][b] = rows[b][a] = ns * source.uniform(0.98, 1.02)
    return rows


@pytest.mark.parametrize("count", [3, 8, 16, 32])
@pytest.mark.parametrize("threads", [1, 2])
def test_holds_whole_cores_and_enough_of_them(threads: int, count: int) -> None:
    rows = _machine({}, threads=threads)
    mates = mates_of([cpu // threads for cpu in range(384)])
    found = pool(rows, mates, count)
    assert found.positions == sorted(set(found.positions))
    assert all(mate in found.positions for cpu in found.positions for mate in mates[cpu])
    assert count <= len(found.positions) // threads
    assert len(found.positions) <= POOL_CPUS + 2 * count * threads
    for start in found.starts:
        assert len({cpu // threads for cpu in start}) == count
        assert set(start) <= set(found.positions)


@pytest.mark.parametrize("near", [0, 5, 11, 23])
def test_finds_the_one_domain_that_is_nearer(near: int) -> None:
    rows = _machine({near: 30.0}, threads=1)
    found = pool(rows, mates_of(range(384)), 12)
    assert {cpu // 16 for cpu in found.starts[0]} == {near}
    assert {cpu // 16 for cpu in nearest_set(rows, range(384), 12)} == {near}


def test_starts_come_cheapest_first() -> None:
    rows = _machine({3: 35.0, 20: 30.0}, threads=1)
    costs = [mean_cost(rows, start) for start in pool(rows, mates_of(range(384)), 8).starts]
    assert costs == pytest.approx(sorted(costs))
