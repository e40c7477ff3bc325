"""The workloads in Python: what they compute is right, and their own checks see what is wrong."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

import runtime_runs as runs
from toposcope import claims
from toposcope.topology.model import Machine

CPUS = runs.usable_cpus()[:2]


@pytest.fixture
def workload(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The program as a module, on a small graph."""
    monkeypatch.syspath_prepend(str(runs.RUNTIME))
    module = importlib.import_module("python_workload")
    monkeypatch.setattr(module, "_SCALE", 7)
    yield module
    for name in ("python_workload", "harness"):
        sys.modules.pop(name, None)


def test_the_graph_is_undirected_without_loops(workload: ModuleType) -> None:
    graph = workload.kronecker(random.Random(3))
    assert len(graph) == 128
    assert all(vertex in graph[neighbour] for vertex, found in enumerate(graph) for neighbour in found)
    assert all(vertex not in found and len(set(found)) == len(found) for vertex, found in enumerate(graph))


def test_a_search_by_threads_is_right_and_a_wrong_one_is_seen(workload: ModuleType) -> None:
    graph = workload.kronecker(random.Random(3))
    source = max(range(128), key=lambda vertex: len(graph[vertex]))
    search = workload._Search(graph, source, CPUS, in_processes=False)
    parents = search.together()
    search.check(parents)
    reached = [vertex for vertex in range(128) if parents[vertex] != -1]
    assert search.edges == sum(len(graph[vertex]) for vertex in reached) / 2
    stranger = next(vertex for vertex in reached if vertex != source and vertex not in graph[source])
    for wrong in (source, -1, stranger):
        with pytest.raises(workload.harness.Failure):
            search.check([wrong if vertex == stranger else parent for vertex, parent in enumerate(parents)])


def test_ranks_add_up_and_wrong_ones_are_seen(workload: ModuleType) -> None:
    graph = workload.kronecker(random.Random(3))
    ranks = workload._Ranks(graph, 5, CPUS, in_processes=False)
    found = ranks.together()
    ranks.check(found)
    assert len(found) == len(CPUS)
    assert sum(found[0]) == pytest.approx(3)
    found[0][0] += 0.1
    with pytest.raises(workload.harness.Failure):
        ranks.check(found)


@pytest.mark.live
@pytest.mark.skipif(len(CPUS) < 2, reason="one CPU: nothing can run in parallel")
def test_processes_do_not_lose_on_isolated_work() -> None:
    variants = [{"work": "pagerank", "model": model} for model in ("process_fork", "thread")]
    series = runs.alternate("python_workload", variants, budget_ms=50)
    machine = Machine(is_this_system=True, online_cpus=runs.usable_cpus())
    claim = next(one for one in claims.judge(series, machine) if one.claim == "isolated_suits_processes")
    assert claim.verdict != "refuted", claim
