"""Filling in what was not measured: structure is learnt, noise is not."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import pytest

from advise_machines import declared_machine, two_sockets
from shared_material import shared_path
from toposcope.advise.layout import layout_of
from toposcope.advise.smooth import Pair, smoothed
from toposcope.matrix import read_matrix
from toposcope.topology.model import Machine

_NS = {"smt": 8.0, "l3": 25.0, "node": 90.0, "package": 90.0, "cross_package": 180.0}


def _truth(machine: Machine, spread: float, seed: int = 1) -> dict[tuple[int, int], float]:
    """Latencies by relation, each CPU with a factor of its own, and independent noise of 1 %."""
    source = random.Random(seed)
    own = [math.exp(source.gauss(0, spread)) for _ in machine.online_cpus]
    return {
        (a, b): _NS[machine.relation(a, b)] * own[a] * own[b] * math.exp(source.gauss(0, 0.01))
        for a, b in itertools.combinations(machine.online_cpus, 2)
    }


def _sample(truth: dict[tuple[int, int], float], share: float, seed: int = 2) -> list[Pair]:
    source = random.Random(seed)
    return [(a, b, ns) for (a, b), ns in truth.items() if source.random() < share]


def _error(rows: list[list[float]], truth: dict[tuple[int, int], float]) -> float:
    return statistics.median(abs(math.log(rows[a][b] / ns)) for (a, b), ns in truth.items())


def test_learns_slow_cpus_from_a_fifth_of_the_pairs() -> None:
    machine = two_sockets(cores_a_domain=8)
    layout = layout_of(machine, machine.online_cpus)
    truth = _truth(machine, spread=0.1)
    pairs = _sample(truth, 0.2)
    by_level = statistics.median(
        abs(math.log(_NS[machine.relation(a, b)] / ns)) for (a, b), ns in truth.items()
    )
    assert _error(smoothed(layout, pairs), truth) < by_level / 3


def test_independent_noise_moves_nothing() -> None:
    """Where only noise is left, what was not measured stays near its relation's mean."""
    machine = two_sockets(cores_a_domain=8)
    layout = layout_of(machine, machine.online_cpus)
    source = random.Random(3)
    truth = {
        pair: _NS[machine.relation(*pair)] * math.exp(source.gauss(0, 0.1))
        for pair in itertools.combinations(machine.online_cpus, 2)
    }
    pairs = _sample(truth, 0.1)
    rows = smoothed(layout, pairs)
    measured = {(a, b) for a, b, _ in pairs}
    shifts = [
        abs(math.log(rows[a][b] / _NS[machine.relation(a, b)]))
        for a, b in truth
        if (a, b) not in measured and machine.relation(a, b) == "cross_package"
    ]
    assert statistics.median(shifts) < 0.04  # the noise itself has a median of 0.067


def test_measured_pairs_keep_their_value_and_rows_are_symmetric() -> None:
    machine = two_sockets()
    layout = layout_of(machine, machine.online_cpus)
    pairs = _sample(_truth(machine, 0.05), 0.3)
    rows = smoothed(layout, pairs)
    assert all(rows[a][b] == rows[b][a] == ns for a, b, ns in pairs)
    assert all(
        rows[a][b] == pytest.approx(rows[b][a]) and rows[a][b] > 0
        for a, b in itertools.combinations(range(len(rows)), 2)
    )
    assert all(rows[a][a] == 0.0 for a in range(len(rows)))


def test_one_pair_of_each_kind_orders_the_relations() -> None:
    machine = two_sockets()
    layout = layout_of(machine, machine.online_cpus)
    rows = smoothed(layout, [(0, 2, 25.0), (0, 15, 180.0)])
    assert rows[0][1] < rows[4][6] < rows[0][4] < rows[1][12]


def test_a_wild_outlier_spoils_only_itself() -> None:
    machine = two_sockets(cores_a_domain=8)
    layout = layout_of(machine, machine.online_cpus)
    truth = _truth(machine, spread=0.02)
    pairs = _sample(truth, 0.2)
    a, b, ns = pairs[0]
    spoilt = [(a, b, ns * 1000), *pairs[1:]]
    assert _error(smoothed(layout, spoilt), truth) < 2 * _error(smoothed(layout, pairs), truth) + 0.01


@pytest.mark.parametrize(
    ("name", "share_left"),
    [("xeon-8275cl-2s", 0.2), ("xeon-6242-2s", 0.6), ("epyc-9754-1s", 0.8), ("epyc-7773x-1s", 0.8)],
)
def test_of_published_machines_it_learns_more_than_the_levels(name: str, share_left: float) -> None:
    """Squared errors within packages: what is left of those that the mean of each relation makes."""
    machine = declared_machine(name)
    matrix = read_matrix(shared_path("latency_matrices", f"{name}.csv"))
    layout = layout_of(machine, machine.online_cpus)
    place = {cpu: position for position, cpu in enumerate(layout.cpus)}
    truth = {(place[a], place[b]): ns for a, b in itertools.combinations(machine.online_cpus, 2)
             if (ns := matrix.value(a, b)) is not None}  # fmt: skip
    pairs = _sample(truth, 0.1)
    rows, measured = smoothed(layout, pairs), {(a, b) for a, b, _ in pairs}
    means: dict[int, list[float]] = {}
    for a, b, ns in pairs:
        means.setdefault(layout.relation(a, b), []).append(math.log(ns))
    hidden = [pair for pair in truth if pair not in measured and layout.relation(*pair) < len(layout.levels)]
    ours = sum(math.log(rows[a][b] / truth[a, b]) ** 2 for a, b in hidden)
    theirs = sum(
        (statistics.fmean(means[layout.relation(a, b)]) - math.log(truth[a, b])) ** 2 for a, b in hidden
    )
    assert ours < share_left * theirs


def test_nothing_measured_gives_ranks() -> None:
    machine = two_sockets()
    rows = smoothed(layout_of(machine, machine.online_cpus), [])
    assert rows[0][1] < rows[0][2] < rows[0][4] < rows[0][8]
    assert rows[0][0] == 0.0
