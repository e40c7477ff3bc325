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
from operator import sub
from typing import Final

from toposcope.advise.effects import Effect, Pair, Sample
from toposcope.advise.layout import Layout
from toposcope.advise.predict import predicted

_OUTLIER_SPREADS: Final = 10.0
_OUTLIER_FLOOR: Final = 0.02
_FIT_PAIRS: Final = 3000  # as many tell the effects; of more, evenly chosen ones do
_FIT_ROUNDS: Final = 4
_WIDER_RATIO: Final = 1.6  # a level that was not measured costs this much more than the widest measured
# What these kinds make of the variance on the published machines where it can be told at all.
_END_SHARE: Final = 0.08
_PLACES_SHARE: Final = 0.15
_CUTS: Final = (2, 4, 8)
# On large machines fewer tell as much of each effect there is, and time counts.
_MANY_CPUS: Final = 128
_CUTS_OF_MANY: Final = (4,)
_FIT_PAIRS_OF_MANY: Final = 2000


def smoothed(layout: Layout, pairs: Sequence[Pair]) -> list[list[float]]:
    """Latency in ns of every pair of positions, from the measured `pairs` (a, b, positive ns).

    Measured pairs keep their value. Without any the numbers are ranks of the declared levels, not times:
    1, 2, 4, … from the narrowest relation to the widest.
    """
    if not pairs:
        return _ranks(layout)
    enough = _FIT_PAIRS if len(layout.cpus) <= _MANY_CPUS else _FIT_PAIRS_OF_MANY
    fitted = pairs
    if len(pairs) > enough:
        fitted = [pairs[number * len(pairs) // enough] for number in range(enough)]
    ones, others = [a for a, _, _ in fitted], [b for _, b, _ in fitted]
    relations = layout.relations_between(ones, others)
    logs = [math.log(ns) for _, _, ns in fitted]
    middles = _middles(layout, logs, relations)
    left = _without_outliers(list(map(sub, logs, map(middles.__getitem__, relations))))
    effects = _effects(layout)
    sample = Sample(ones, others, relations)
    for effect in effects:
        effect.attach(sample)
    for turn in range(_FIT_ROUNDS):
        for effect in effects:
            if turn == 0:
                effect.judge(left)
            left = effect.fit(left)
    rows = predicted(layout, middles, [effect for effect in effects if effect.matters])
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
    cuts = [parts for parts in _cuts(layout) if max(sizes) >= 2 * parts]
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


def _cuts(layout: Layout) -> Sequence[int]:
    return _CUTS if len(layout.cpus) <= _MANY_CPUS else _CUTS_OF_MANY


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
        for parts in _cuts(layout) if most >= 2 * parts
    ]  # fmt: skip


def _middles(layout: Layout, logs: Sequence[float], relations: Sequence[int]) -> list[float]:
    """The log latency typical of each relation; those not measured lie between or beyond their neighbours."""
    by_relation: dict[int, list[float]] = {}
    for log, relation in zip(logs, relations, strict=True):
        by_relation.setdefault(relation, []).append(log)
    known = {relation: statistics.median(values) for relation, values in by_relation.items()}
    # The mean after the median, so that the residuals of a relation sum up to nothing.
    for relation, values in by_relation.items():
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


def _without_outliers(residuals: list[float]) -> list[float]:
    spread = 1.4826 * statistics.median(map(abs, residuals))
    limit = _OUTLIER_SPREADS * (spread + _OUTLIER_FLOOR)
    if -limit <= min(residuals) and max(residuals) <= limit:
        return residuals
    return [max(-limit, min(limit, residual)) for residual in residuals]


def _ranks(layout: Layout) -> list[list[float]]:
    rows = []
    ranks = [2.0**relation for relation in range(len(layout.levels) + 1)]
    for position in range(len(layout.cpus)):
        row = [ranks[relation] for relation in layout.relations_of(position)]
        row[position] = 0.0
        rows.append(row)
    return rows
