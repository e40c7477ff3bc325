"""How near the searches of the advice come to the best: pipelines, sparse communication, isolated work.

    python bench/bench_search.py MATRICES [--long 10]

MATRICES is a folder of latency matrices (CSV as `toposcope matrix` writes, complete ones are used) and of
node matrices (`numa-*.json` with `idle_latency_ns` and `read_bandwidth_MBps`). Pipelines of 4, 8 and 16
stages and three sparse
communication patterns (each worker talks to about two others, random weights) are placed on each; the
result is paid against every assignment where those are few, else against the best of `--long` times as much
search and of random restarts. Memory-bound isolated work is paid against every way to divide the workers
among the nodes. Prints the median, the 95th percentile and the largest gap.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from toposcope.advise.layout import layout_of
from toposcope.advise.mapping import WORK_CELLS, WeightedEdge, communication_cost, mapped, pipeline_edges
from toposcope.advise.spread import Memory, memory_time, spread_out
from toposcope.errors import MatrixError
from toposcope.matrix import read_matrix
from toposcope.topology.model import Machine

_BRUTE_FORCE_MAX = 150_000
Rows = list[list[float]]


def patterns(workers: int) -> Iterator[tuple[str, list[WeightedEdge]]]:
    yield "pipeline", pipeline_edges(workers)
    for seed in range(3):
        source = random.Random(1000 * workers + seed)
        pairs = source.sample(
            list(itertools.combinations(range(workers), 2)), min(workers, math.comb(workers, 2))
        )
        yield "sparse", [(a, b, source.uniform(1, 10)) for a, b in pairs]


def brute_force(rows: Rows, workers: int, edges: list[WeightedEdge]) -> float:
    assignments = itertools.permutations(range(len(rows)), workers)
    return min(communication_cost(rows, edges, places) for places in assignments)


def shuffled(rows: Rows, workers: int, edges: list[WeightedEdge], seed: int, work: int) -> float:
    """The same search on renumbered CPUs: other starts, other ties."""
    order = random.Random(seed).sample(range(len(rows)), len(rows))
    other = [[rows[a][b] for b in order] for a in order]
    return communication_cost(other, edges, mapped(other, list(range(len(rows))), workers, edges, work))


def communication_gaps(folder: Path, long: int, every: int) -> dict[str, list[float]]:
    gaps: dict[str, list[float]] = {}
    for path in sorted(folder.glob("*.csv"))[::every]:
        try:
            matrix = read_matrix(path)
        except MatrixError:
            continue
        rows = [[0.0 if ns is None else ns for ns in row] for row in matrix.symmetric()]
        if any(ns <= 0 for a, row in enumerate(rows) for b, ns in enumerate(row) if a != b):
            continue
        for workers in (4, 8, 16):
            for kind, edges in patterns(workers) if workers < len(rows) / 2 else ():
                found = communication_cost(rows, edges, mapped(rows, list(range(len(rows))), workers, edges))
                if math.perm(len(rows), workers) <= _BRUTE_FORCE_MAX:
                    against, best = "all", brute_force(rows, workers, edges)
                else:
                    work = WORK_CELLS * long // 2
                    against = "long"
                    best = min(found, *(shuffled(rows, workers, edges, seed, work) for seed in (1, 2)))
                gaps.setdefault(f"{kind}, {against}", []).append(found / best - 1)
    return gaps


def isolated_gaps(folder: Path) -> list[float]:
    gaps = []
    for path in sorted(folder.glob("numa-*.json")):
        facts = json.loads(path.read_text())
        for seed in range(20):  # seed 0 is the machine as it was measured, the others are unlike nodes
            gaps += _isolated(
                facts["idle_latency_ns"], facts["read_bandwidth_MBps"], random.Random(seed), seed > 0
            )
    return gaps


def _isolated(
    latency_ns: list[list[float]], rates: list[list[float]], source: random.Random, is_bent: bool
) -> Iterator[float]:
    nodes, cores = range(len(latency_ns)), 12
    bent = [source.uniform(0.4, 2.5) if is_bent else 1.0 for _ in nodes]
    node_of = [node for node in nodes for _ in range(cores)]
    memory = Memory(
        node_of,
        {node: latency_ns[node][node] for node in nodes},
        {node: 1e6 * rates[node][node] * bent[node] for node in nodes},
        1.3e10,
    )
    cpus = tuple(range(len(node_of)))
    layout = layout_of(Machine(False, cpus, packages=(cpus,)), cpus)
    for workers in (2, 5, 8, 16):
        found = spread_out(layout, layout.cores, workers, memory, [1.0] * len(cpus))
        assert found is not None
        divided = (
            parts for parts in itertools.product(range(min(workers, cores) + 1), repeat=len(nodes))
            if sum(parts) == workers
        )  # fmt: skip
        best = min(
            sum(memory.node_time(node, part) for node, part in zip(nodes, parts, strict=True)) / workers
            for parts in divided
        )
        yield memory_time(memory, found) / best - 1


def show(name: str, gaps: list[float]) -> None:
    ordered = sorted(gaps)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    print(f"{name:28} {len(gaps):4} cases: gap median {statistics.median(gaps):.2%}, "
          f"95th percentile {p95:.2%}, largest {ordered[-1]:.2%}", flush=True)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--long", type=int, default=10)
    parser.add_argument("--every", type=int, default=1, help="take only each so many-th matrix")
    arguments = parser.parse_args()
    isolated = isolated_gaps(arguments.folder)
    show("isolated, memory-bound, all", isolated)
    gaps = communication_gaps(arguments.folder, arguments.long, arguments.every)
    for name, found in sorted(gaps.items()):
        show(name, found)
    return 0 if max(max(found) for found in [isolated, *gaps.values()]) <= 0.02 else 1


if __name__ == "__main__":
    sys.exit(main())
