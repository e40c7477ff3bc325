"""Latencies of pairs that were not measured, from those that were and what the topology declares.

A pair's log latency is the mean of its relation plus what its packages, nodes, caches and core types, its
two cores (in all relations alike, and in each of its own), their places inside the cache domain, and each
CPU add of their own. How far each kind of effect is believed follows from the data (empirical Bayes):
residuals that share an effect vary together by that effect's variance, so the mean product of such
residuals estimates it (Henderson's first method, C. R. Henderson, "Estimation of variance and covariance
components", Biometrics 9, 1953), pulled towards a small value while few pairs tell. Then every effect is
shrunk by noise / (noise + count · variance), in turns until they fit together (back-fitting of the best
linear unbiased predictor: G. K. Robinson, Statistical Science 6, 1991). So a handful of noisy pairs moves
nothing, and a slow socket or a near corner of a mesh is learnt from a tenth of all pairs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from operator import add, mul
from typing import Final

from toposcope.advise.effects import Effect, Pair
from toposcope.advise.layout import Layout

_OUTLIER_SPREADS: Final = 10.0
_OUTLIER_FLOOR: Final = 0.02
_FIT_PAIRS: Final = 3000  # as many tell the effects; of more, evenly chosen ones do
_FIT_ROUNDS: Final = 4
_FEW_CORES: Final = 128  # beyond, fine effects are told within a cache domain only
_WIDER_RATIO: Final = 1.6  # a level that was not measured costs this much more than the widest measured
# What these kinds make of the variance on the published machines where it can be told at all.
_END_SHARE: Final = 0.08
_PLACES_SHARE: Final = 0.15
_CUTS: Final = (2, 4, 8)


def smoothed(layout: Layout, pairs: Sequence[Pair]) -> list[list[float]]:
    """Latency in ns of every pair of positions, from the measured `pairs` (a, b, positive ns).

    Measured pairs keep their value. Without any the numbers are ranks of the declared levels, not times:
    1, 2, 4, … from the narrowest relation to the widest.
    """
    if not pairs:
        return _ranks(layout)
    fitted = pairs
    if len(pairs) > _FIT_PAIRS:
        fitted = [pairs[number * len(pairs) // _FIT_PAIRS] for number in range(_FIT_PAIRS)]
    relations = [layout.relation(a, b) for a, b, _ in fitted]
    middles = _middles(layout, fitted, relations)
    both = zip(fitted, relations, strict=True)
    left = _without_outliers([math.log(ns) - middles[relation] for (_, _, ns), relation in both])
    effects = _effects(layout)
    for effect in effects:
        effect.attach(fitted, relations)
    for turn in range(_FIT_ROUNDS):
        for effect in effects:
            if turn == 0:
                effect.judge(left)
            left = effect.fit(left)
    rows = _predicted(layout, middles, [effect for effect in effects if effect.matters])
    for a, b, ns in pairs:
        rows[a][b] = rows[b][a] = ns
    return rows


def _effects(layout: Layout) -> list[Effect]:
    """The kinds of effects that this machine can have, those that gather most pairs first."""
    domain, places, sizes = layout.place_in_domain()
    threaded = len(set(layout.cores)) < len(layout.cores)
    wide = [level.labels for level in reversed(layout.levels) if level.labels != layout.cores]
    effects = [Effect(labels) for labels in (*wide, *_neighbouring_domains(layout))]
    if any(layout.kinds):
        effects.append(Effect(layout.kinds))
    if threaded:
        effects.append(Effect(layout.cores, "end"))
    effects.append(Effect(range(len(layout.cpus)), "end"))
    # Near and far pairs differ in what a core adds, and domains of one chip are built alike.
    effects += [
        Effect(labels, "end_by_relation", prior_share=_END_SHARE) for labels in (layout.cores, places)
    ]
    effects.append(Effect(places, is_fine=True, prior_share=_PLACES_SHARE))
    cuts = [parts for parts in _CUTS if max(sizes) >= 2 * parts]
    for parts in cuts:  # neighbours by number are often neighbours on the ring or mesh
        zones = [place * parts // size for place, size in zip(places, sizes, strict=True)]
        effects.append(Effect(zones, is_fine=True))
    for parts in cuts:
        zones = [zone * 8 + place * parts // size
                 for zone, place, size in zip(domain, places, sizes, strict=True)]  # fmt: skip
        effects.append(Effect(zones, is_fine=True))
    if threaded:
        effects.append(Effect(layout.cores, is_fine=True))
    return effects


def _neighbouring_domains(layout: Layout) -> list[list[int]]:
    """L3 domains of a package that follow each other, taken together: quadrants that nothing declares."""
    package, domains = layout.level("package"), layout.level("l3")
    if domains is None:
        return []
    outer = package.labels if package is not None else (0,) * len(layout.cpus)
    order: dict[int, dict[int, int]] = {}
    for one, domain in zip(outer, domains.labels, strict=True):
        members = order.setdefault(one, {})
        members.setdefault(domain, len(members))
    most = max(map(len, order.values()))
    return [
        [one * 8 + order[one][domain] * parts // len(order[one])
         for one, domain in zip(outer, domains.labels, strict=True)]
        for parts in _CUTS if most >= 2 * parts
    ]  # fmt: skip


def _middles(layout: Layout, pairs: Sequence[Pair], relations: Sequence[int]) -> list[float]:
    """The log latency typical of each relation; those not measured lie between or beyond their neighbours."""
    logs: dict[int, list[float]] = {}
    for (_, _, ns), relation in zip(pairs, relations, strict=True):
        logs.setdefault(relation, []).append(math.log(ns))
    known = {relation: statistics.median(values) for relation, values in logs.items()}
    # The mean after the median, so that the residuals of a relation sum up to nothing.
    for relation, values in logs.items():
        offset = _without_outliers([value - known[relation] for value in values])
        known[relation] += sum(offset) / len(offset)
    return [_between(known, relation) for relation in range(len(layout.levels) + 1)]


def _between(known: dict[int, float], relation: int) -> float:
    below = max((other for other in known if other <= relation), default=None)
    above = min((other for other in known if other >= relation), default=None)
    if below is None:
        assert above is not None
        return known[above] - (above - relation) * math.log(_WIDER_RATIO)
    if above is None:
        return known[below] + (relation - below) * math.log(_WIDER_RATIO)
    share = (relation - below) / (above - below) if above > below else 0.0
    return known[below] + share * (known[above] - known[below])


def _without_outliers(residuals: Sequence[float]) -> list[float]:
    spread = 1.4826 * statistics.median(map(abs, residuals))
    limit = _OUTLIER_SPREADS * (spread + _OUTLIER_FLOOR)
    return [max(-limit, min(limit, residual)) for residual in residuals]


def _predicted(layout: Layout, middles: Sequence[float], effects: Sequence[Effect]) -> list[list[float]]:
    """All pairs: effects of sets once for two cores, then each CPU's own factor."""
    ends = [effect for effect in effects if effect.kind == "end"]
    factors = [
        math.exp(sum(effect.of_end(position) for effect in ends)) for position in range(len(layout.cpus))
    ]
    cores = _Cores(layout)
    table = _core_table(cores, middles, [effect for effect in effects if effect.kind != "end"])
    rows = []
    for index, number in enumerate(cores.number):
        base = table[number]
        row = list(map(mul, map(base.__getitem__, cores.number), factors))
        rows.append([value * factors[index] for value in row])
        rows[index][index] = 0.0
    return rows


class _Cores:
    """Cores instead of CPUs: a position of each (`heads`), its last thread, and units of alike cores.

    Cores of one unit share all levels but their core, so wide effects are the same for all of them.
    `relations[u][v]` is that of two cores of units u and v.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        first = {core: index for index, core in reversed(list(enumerate(layout.cores)))}
        last = {core: index for index, core in enumerate(layout.cores)}
        self.heads = [first[core] for core in first]
        self.threads = [last[core] for core in first]
        place = {core: number for number, core in enumerate(first)}
        self.number = [place[core] for core in layout.cores]
        wide = [level.labels for level in layout.levels if level.labels != layout.cores]
        self.domain = layout.place_in_domain()[0]
        keys = [
            (self.domain[head], layout.kinds[head], *(labels[head] for labels in wide)) for head in self.heads
        ]
        units = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        self.unit = [units[key] for key in keys]
        self.members: list[list[int]] = [[] for _ in units]
        for number, unit in enumerate(self.unit):
            self.members[unit].append(self.heads[number])
        self.relations = [[layout.relation(of[0], to[-1]) for to in self.members] for of in self.members]


def _core_table(cores: _Cores, middles: Sequence[float], effects: Sequence[Effect]) -> list[list[float]]:
    """For each two cores the latency without the CPUs' own effects, in ns."""
    layout = cores.layout
    wide = [effect for effect in effects if effect.kind == "pair" and not effect.is_fine]
    fine = [effect for effect in effects if effect.is_fine]
    ends = [effect for effect in effects if effect.kind == "end_by_relation"]
    by_unit = [
        [middles[relation] + sum(effect.of_pair(relation, of[0], to[-1]) for effect in wide)
         for to, relation in zip(cores.members, relations, strict=True)]
        for of, relations in zip(cores.members, cores.relations, strict=True)
    ]  # fmt: skip
    own = [
        [sum(effect.of_end(head, relation) for effect in ends) for head in cores.heads]
        for relation in range(len(layout.levels) + 1)
    ]
    inside: dict[int, list[int]] = {}
    for column, head in enumerate(cores.heads):
        inside.setdefault(cores.domain[head], []).append(column)
    everywhere = range(len(cores.heads))
    table = []
    for number, head in enumerate(cores.heads):
        unit = cores.unit[number]
        relation_of = cores.relations[unit]
        base = [ns + own[relation][number] for ns, relation in zip(by_unit[unit], relation_of, strict=True)]
        theirs = [own[relation_of[other]][column] for column, other in enumerate(cores.unit)]
        logs = list(map(add, map(base.__getitem__, cores.unit), theirs))
        for column in everywhere if len(everywhere) <= _FEW_CORES else inside[cores.domain[head]]:
            other, relation = cores.heads[column], relation_of[cores.unit[column]]
            logs[column] += sum(effect.of_pair(relation, head, other) for effect in fine)
        logs[number] = _between_threads(layout, middles, effects, head, cores.threads[number])
        table.append(list(map(math.exp, logs)))
    return table


def _between_threads(
    layout: Layout, middles: Sequence[float], effects: Sequence[Effect], one: int, other: int
) -> float:
    """The log latency of two threads of a core; of a single thread to itself nobody asks."""
    if one == other:
        return 0.0
    relation = layout.relation(one, other)
    of_ends = sum(
        effect.of_end(one, relation) + effect.of_end(other, relation)
        for effect in effects if effect.kind == "end_by_relation"
    )  # fmt: skip
    return middles[relation] + of_ends + sum(
        effect.of_pair(relation, one, other) for effect in effects if effect.kind == "pair"
    )  # fmt: skip


def _ranks(layout: Layout) -> list[list[float]]:
    rows = []
    ranks = [2.0**relation for relation in range(len(layout.levels) + 1)]
    for position in range(len(layout.cpus)):
        row = [ranks[relation] for relation in layout.relations_of(position)]
        row[position] = 0.0
        rows.append(row)
    return rows
