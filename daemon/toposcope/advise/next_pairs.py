"""Which pairs to measure next, where most of them are unknown: those that may decide the advice.

Each of several contenders is the best set under one guess of what the unknown pairs cost: the smoothed
value, bent at random by about as much as smoothing errs. Whatever set could come first under some guess has
its inner pairs measured; a pair that no contender holds can't change the answer (Thompson sampling: W. R.
Thompson, Biometrika 25, 1933, used here to choose what to look at). The guesses have a fixed seed.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from toposcope.advise.candidates import candidates, choose_cores
from toposcope.advise.choose import choose_mapped, choose_near, talks
from toposcope.advise.costs import PairCosts, pair_costs
from toposcope.advise.facts import Evidence
from toposcope.advise.mapping import WORK_CELLS
from toposcope.advise.request import Request

Pair = tuple[int, int]

_CONTENDERS: Final = 8
_DOUBT_RATIO: Final = 0.06  # by so much smoothing errs on the published matrices
_FIRST_SHARE: Final = 0.1  # of all pairs, where nothing was measured yet


def next_pairs(request: Request, evidence: Evidence, pairs_max: int) -> list[Pair]:
    """At most `pairs_max` pairs of CPU ids (ascending in each) that were not measured, the weightiest first.

    Empty where the workers don't talk, or where nothing that could decide the advice is unknown. Raises
    UsageError for an impossible request.
    """
    if not talks(request):
        return []
    cpus = candidates(request, evidence).cpus
    unknown = [pair for pair in itertools.combinations(cpus, 2) if not _is_known(evidence, pair)]
    if len(unknown) <= pairs_max:
        return unknown
    costs = pair_costs(evidence, cpus)
    if costs.basis == "declared":
        return _first_sample(costs, unknown, pairs_max)
    return _of_contenders(request, evidence, costs)[:pairs_max]


def _is_known(evidence: Evidence, pair: Pair) -> bool:
    return evidence.matrix is not None and evidence.matrix.value(*pair) is not None


def _first_sample(costs: PairCosts, unknown: Sequence[Pair], pairs_max: int) -> list[Pair]:
    """A pair of each relation first, then a tenth of all at random."""
    source = random.Random(len(unknown))
    shuffled = source.sample(unknown, len(unknown))
    place = {cpu: position for position, cpu in enumerate(costs.layout.cpus)}
    firsts: dict[int, Pair] = {}
    for one, other in shuffled:
        firsts.setdefault(costs.layout.relation(place[one], place[other]), (one, other))
    chosen = dict.fromkeys([*firsts.values(), *shuffled])
    return list(chosen)[: min(pairs_max, max(len(firsts), int(_FIRST_SHARE * len(unknown))))]


def _of_contenders(request: Request, evidence: Evidence, costs: PairCosts) -> list[Pair]:
    exact = replace(request, exact=True)
    cores = choose_cores(request, costs.layout, evidence.machine_is_declared)
    is_mapped = request.communication or request.sharing == "pipeline"
    choose = partial(choose_mapped, work_cells=WORK_CELLS // _CONTENDERS) if is_mapped else choose_near
    source = random.Random(1)
    found: dict[Pair, None] = {}
    for turn in range(_CONTENDERS):
        guess = costs if turn == 0 else replace(costs, rows=_bent(evidence, costs, source))
        chosen = sorted(costs.layout.cpus[at] for at in choose(exact, guess, cores)[0].positions)
        found.update(dict.fromkeys(itertools.combinations(chosen, 2)))
    return [pair for pair in found if not _is_known(evidence, pair)]


def _bent(evidence: Evidence, costs: PairCosts, source: random.Random) -> list[list[float]]:
    cpus = costs.layout.cpus
    rows = [list(row) for row in costs.rows]
    for a, b in itertools.combinations(range(len(cpus)), 2):
        if not _is_known(evidence, (cpus[a], cpus[b])):
            rows[a][b] = rows[b][a] = rows[a][b] * max(0.5, source.gauss(1, _DOUBT_RATIO))
    return rows
