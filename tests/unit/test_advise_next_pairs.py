"""Which pairs are worth measuring: those that may decide, and in the end the advice is nearly the best."""

from __future__ import annotations

import itertools
import random

import pytest

from advise_machines import two_sockets
from toposcope.advise.facts import Evidence
from toposcope.advise.next_pairs import next_pairs
from toposcope.advise.recommend import recommend
from toposcope.advise.request import Request
from toposcope.matrix import matrix_of_pairs

MACHINE = two_sockets()
CPUS = MACHINE.online_cpus
REQUEST = Request(4, exact=True, smt="avoid")
Pair = tuple[int, int]


def _truth(seed: int) -> dict[Pair, float]:
    """By relation, one L3 domain nearer than it should be, and noise on every pair."""
    source = random.Random(seed)
    base = {"smt": 8.0, "l3": 25.0, "package": 80.0, "cross_package": 160.0}
    pairs = {}
    for a, b in itertools.combinations(CPUS, 2):
        bonus = 0.85 if {a // 8, b // 8} == {1} else 1.0
        pairs[a, b] = base[MACHINE.relation(a, b)] * bonus * source.uniform(0.9, 1.1)
    return pairs


def _evidence(known: dict[Pair, float]) -> Evidence:
    both = known | {(b, a): ns for (a, b), ns in known.items()}
    return Evidence(MACHINE, matrix=matrix_of_pairs(CPUS, both) if known else None)


def _cost(truth: dict[Pair, float], chosen: tuple[int, ...]) -> float:
    pairs = list(itertools.combinations(sorted(chosen), 2))
    return sum(truth[pair] for pair in pairs) / len(pairs)


@pytest.mark.parametrize("seed", range(3))
def test_a_few_rounds_lead_to_nearly_the_best_set_with_a_part_of_the_pairs(seed: int) -> None:
    truth = _truth(seed)
    known: dict[Pair, float] = {}
    for _ in range(5):
        pairs = next_pairs(REQUEST, _evidence(known), 16)
        assert len(pairs) <= 16
        assert not set(pairs) & set(known)
        known |= {pair: truth[pair] for pair in pairs}
    assert len(known) < 0.7 * len(truth)
    found = recommend(REQUEST, _evidence(known)).placements[0].cpus
    best = recommend(REQUEST, _evidence(truth)).placements[0].cpus
    assert _cost(truth, found) <= 1.01 * _cost(truth, best)


def test_the_first_sample_has_every_relation_and_a_tenth() -> None:
    pairs = next_pairs(REQUEST, _evidence({}), 100)
    assert {MACHINE.relation(*pair) for pair in pairs} == {"smt", "l3", "package", "cross_package"}
    assert len(pairs) == len(CPUS) * (len(CPUS) - 1) // 20


def test_nothing_is_left_where_all_is_known_or_nobody_talks() -> None:
    assert next_pairs(REQUEST, _evidence(_truth(1)), 100) == []
    assert next_pairs(Request(4, sharing="isolated"), _evidence({}), 100) == []
    assert len(next_pairs(REQUEST, _evidence({}), 10_000)) == len(CPUS) * (len(CPUS) - 1) // 2


@pytest.mark.parametrize("sharing", ["shared", "pipeline"])
def test_only_cpus_that_may_be_used_are_measured(sharing: str) -> None:
    known = {pair: ns for pair, ns in _truth(2).items() if sum(pair) % 7 == 0}
    request = Request(4, sharing=sharing, cpus=tuple(range(8)))  # type: ignore[arg-type]
    pairs = next_pairs(request, _evidence(known), 10)
    assert pairs
    assert {cpu for pair in pairs for cpu in pair} <= set(range(8))
