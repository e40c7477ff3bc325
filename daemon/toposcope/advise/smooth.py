"""Latencies of pairs that were not measured, from those that were and what the topology declares.

A pair's log latency is the mean of its relation plus what its packages, nodes, caches and core types, its
two cores, their places inside the cache domain, and each CPU add of their own. How far each kind of effect
is believed follows from the data (empirical Bayes): residuals that share an effect vary together by that
effect's variance, so the mean product of such residuals estimates it (Henderson's first method, C. R.
Henderson, "Estimation of variance and covariance components", Biometrics 9, 1953), pulled towards a small
value while few pairs tell. Then every effect is shrunk by noise / (noise + count · variance), in turns
until they fit together (back-fitting of the best linear unbiased predictor: G. K. Robinson, Statistical
Science 6, 1991). So a handful of noisy pairs moves nothing, and a slow socket or a near corner of a mesh is
learnt from a tenth of all pairs.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import add, mul
from typing import Final

from toposcope.advise.layout import Layout

Pair = tuple[int, int, float]

_PRIOR_PAIRS: Final = 30.0  # the prior weighs as much as this many pairs of residuals
_PRIOR_SHARE: Final = 0.05  # of the variance left, for an effect that nothing is known about
_NEGLIGIBLE_WEIGHT: Final = 500.0  # noise over variance: such an effect would shift nothing
_OUTLIER_SPREADS: Final = 10.0
_OUTLIER_FLOOR: Final = 0.02
_FEW_PAIRS: Final = 6000  # up to here four rounds of back-fitting, beyond two: the data decide then
_FIT_PAIRS: Final = 8000  # of more, evenly chosen ones do
_FEW_CORES: Final = 128  # beyond, fine effects are told within a cache domain only
_WIDER_RATIO: Final = 1.6  # a level that was not measured costs this much more than the widest measured
_DOMAIN_CUTS: Final = (2, 4, 8)


@dataclass
class _Effect:
    """One kind of effect: `first[p]` (and `second[p]`) number the effects that measured pair p has."""

    labels: Sequence[int]
    of_pairs: bool  # an effect of two sets together, else of each CPU or core by itself
    is_fine: bool = False  # its sets are smaller than a cache domain
    index: dict[int, int] = field(default_factory=dict)
    first: list[int] = field(default_factory=list)
    second: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    weight: float = 0.0  # variance of the noise over that of the effect

    def attach(self, pairs: Sequence[Pair], relations: Sequence[int]) -> None:
        """Number the effects of the measured pairs."""
        ones = [self.labels[a] for a, _, _ in pairs]
        others = [self.labels[b] for _, b, _ in pairs]
        if self.of_pairs:
            both = zip(relations, ones, others, strict=True)
            ones = [
                (relation << 40) | (one << 20) | other
                if one <= other
                else (relation << 40) | (other << 20) | one
                for relation, one, other in both
            ]
            others = []
        self.index = {key: number for number, key in enumerate(dict.fromkeys([*ones, *others]))}
        self.first = list(map(self.index.__getitem__, ones))
        self.second = list(map(self.index.__getitem__, others))
        counts = Counter([*self.first, *self.second])
        self.counts = [counts[number] for number in range(len(self.index))]
        self.values = [0.0] * len(self.index)

    def row(self, a: int, others: Sequence[int], relations: Sequence[int]) -> list[float]:
        """What this effect adds for position `a` and each of `others`; 0 where nothing was measured."""
        one, labels, get = self.labels[a], self.labels, self.index.get
        found = [
            get((relations[b] << 40) | (one << 20) | other if one <= (other := labels[b])
                else (relations[b] << 40) | (other << 20) | one)
            for b in others
        ]  # fmt: skip
        return [0.0 if number is None else self.values[number] for number in found]

    def sums(self, residuals: Sequence[float]) -> list[float]:
        totals = [0.0] * len(self.values)
        for number, residual in zip(self.first, residuals, strict=True):
            totals[number] += residual
        if not self.of_pairs:
            for number, residual in zip(self.second, residuals, strict=True):
                totals[number] += residual
        return totals

    def judge(self, residuals: Sequence[float]) -> None:
        """How far to believe this effect, from how residuals that share it vary together."""
        squares = [residual * residual for residual in residuals]
        variance = sum(squares) / len(squares)
        sharing = sum(count * (count - 1) / 2 for count in self.counts)
        products = zip(self.sums(residuals), self.sums(squares), strict=True)
        common = sum((total * total - square) / 2 for total, square in products)
        pulled = max(common, 0.0) + _PRIOR_PAIRS * _PRIOR_SHARE * variance
        own = min(pulled / (sharing + _PRIOR_PAIRS), 0.9 * variance)
        noise = max(variance - (own if self.of_pairs else 2 * own), 0.1 * variance)
        self.weight = noise / own if own > 0 else math.inf

    def fit(self, residuals: list[float]) -> list[float]:
        """Take over what this effect explains; returns what is left."""
        if self.weight > _NEGLIGIBLE_WEIGHT:
            return residuals
        if self.of_pairs:
            steps = self._steps(residuals, 1.0)
            return [residual - steps[number] for residual, number in zip(residuals, self.first, strict=True)]
        for _ in range(2):  # two effects a pair: damped steps, or both would explain the same residual
            steps = self._steps(residuals, 0.6)
            both = zip(residuals, self.first, self.second, strict=True)
            residuals = [residual - steps[one] - steps[other] for residual, one, other in both]
        return residuals

    def _steps(self, residuals: Sequence[float], damping: float) -> list[float]:
        fitted = zip(self.sums(residuals), self.counts, self.values, strict=True)
        steps = [
            damping * ((total + count * value) / (count + self.weight) - value)
            for total, count, value in fitted
        ]
        self.values = list(map(add, self.values, steps))
        return steps


def smoothed(layout: Layout, pairs: Sequence[Pair]) -> list[list[float]]:
    """Latency in ns of every pair of positions, from the measured `pairs` (a, b, positive ns).

    Measured pairs keep their value. Without any the numbers are ranks of the declared levels, not times:
    1, 2, 4, … from the narrowest relation to the widest.
    """
    if not pairs:
        return _ranks(layout)
    fitted = pairs[:: -(-len(pairs) // _FIT_PAIRS)]
    relations = [layout.relation(a, b) for a, b, _ in fitted]
    middles = _middles(layout, fitted, relations)
    both = zip(fitted, relations, strict=True)
    left = _without_outliers([math.log(ns) - middles[relation] for (_, _, ns), relation in both])
    effects = _effects(layout)
    for effect in effects:
        effect.attach(fitted, relations)
    for turn in range(4 if len(fitted) <= _FEW_PAIRS else 2):
        for effect in effects:
            if turn == 0:
                effect.judge(left)
            left = effect.fit(left)
    rows = _predicted(layout, middles, [e for e in effects if e.weight <= _NEGLIGIBLE_WEIGHT])
    for a, b, ns in pairs:
        rows[a][b] = rows[b][a] = ns
    return rows


def _effects(layout: Layout) -> list[_Effect]:
    """The kinds of effects that this machine can have, those that gather most pairs first."""
    domain, places, sizes = layout.place_in_domain()
    wide = [level.labels for level in reversed(layout.levels) if level.labels != layout.cores]
    effects = [_Effect(labels, of_pairs=True) for labels in wide]
    if any(layout.kinds):
        effects.append(_Effect(layout.kinds, of_pairs=True))
    if len(set(layout.cores)) < len(layout.cores):
        effects.append(_Effect(layout.cores, of_pairs=False))
    effects.append(_Effect(range(len(layout.cpus)), of_pairs=False))
    # Domains of one chip are built alike: the same two places cost the same in each of them.
    effects.append(_Effect(places, of_pairs=True, is_fine=True))
    for parts in _DOMAIN_CUTS:
        if max(sizes) >= 2 * parts:  # neighbours by number are often neighbours on the ring or mesh
            cut = [zone * 8 + place * parts // size
                   for zone, place, size in zip(domain, places, sizes, strict=True)]  # fmt: skip
            effects.append(_Effect(cut, of_pairs=True, is_fine=True))
    if len(set(layout.cores)) < len(layout.cores):
        effects.append(_Effect(layout.cores, of_pairs=True, is_fine=True))
    return effects


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


def _predicted(layout: Layout, middles: Sequence[float], effects: Sequence[_Effect]) -> list[list[float]]:
    """All pairs: effects of sets once for two cores, then each CPU's own factor."""
    count = len(layout.cpus)
    factors = [0.0] * count
    for effect in (effect for effect in effects if not effect.of_pairs):
        for index, label in enumerate(effect.labels):
            if label in effect.index:
                factors[index] += effect.values[effect.index[label]]
    factors = [math.exp(value) for value in factors]
    paired = [effect for effect in effects if effect.of_pairs]
    heads = {core: index for index, core in reversed(list(enumerate(layout.cores)))}
    number = {core: place for place, core in enumerate(heads)}
    column = [number[core] for core in layout.cores]
    table = _core_table(layout, middles, paired, list(heads.values()))
    rows = []
    for index, core in enumerate(layout.cores):
        base = table[number[core]]
        row = list(map(mul, map(base.__getitem__, column), factors))
        rows.append([value * factors[index] for value in row])
        rows[index][index] = 0.0
    return rows


def _core_table(
    layout: Layout, middles: Sequence[float], effects: Sequence[_Effect], heads: Sequence[int]
) -> list[list[float]]:
    """For each two cores (a CPU of each in `heads`) the latency without the CPUs' own effects, in ns."""
    table = []
    threads = {core: index for index, core in enumerate(layout.cores)}  # the last thread of each core
    domain = layout.place_in_domain()[0]
    inside: dict[int, list[int]] = {}
    for column, head in enumerate(heads):
        inside.setdefault(domain[head], []).append(column)
    for number, a in enumerate(heads):
        relations = layout.relations_of(a)
        others = [*heads[:number], threads[layout.cores[a]], *heads[number + 1 :]]
        logs = [middles[relations[b]] for b in others]
        for effect in effects:
            if effect.is_fine and len(heads) > _FEW_CORES:
                shares = effect.row(a, [others[column] for column in inside[domain[a]]], relations)
                for column, share in zip(inside[domain[a]], shares, strict=True):
                    logs[column] += share
            else:
                logs = list(map(add, logs, effect.row(a, others, relations)))
        table.append(list(map(math.exp, logs)))
    return table


def _ranks(layout: Layout) -> list[list[float]]:
    rows = []
    ranks = [2.0**relation for relation in range(len(layout.levels) + 1)]
    for position in range(len(layout.cpus)):
        row = [ranks[relation] for relation in layout.relations_of(position)]
        row[position] = 0.0
        rows.append(row)
    return rows
