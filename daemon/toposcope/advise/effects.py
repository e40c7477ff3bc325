"""The kinds of effects that latencies between CPUs have, and how far each kind is believed.

An effect belongs to two sets together (two packages, two places in a cache domain) or to each end by itself
(a core that is slow whomever it talks to). `judge` tells from the residuals that share an effect how much
of their variance it makes, `fit` takes over what it explains.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import add
from typing import Final, Literal

Pair = tuple[int, int, float]
# of two sets together; of each end; of each end, with a value of its own in every relation.
Kind = Literal["pair", "end", "end_by_relation"]

_PRIOR_PAIRS: Final = 30.0  # the prior weighs as much as this many pairs of residuals
_PRIOR_SHARE: Final = 0.03
_NEGLIGIBLE_WEIGHT: Final = 500.0  # noise over variance: such an effect would shift nothing


@dataclass
class Effect:
    """One kind of effect: `labels[i]` numbers the set that position i is in.

    `first[p]` (and `second[p]`) number the effects that measured pair p has. `is_fine` where the sets are
    smaller than a cache domain.
    """

    labels: Sequence[int]
    kind: Kind = "pair"
    is_fine: bool = False
    index: dict[int, int] = field(default_factory=dict)
    first: list[int] = field(default_factory=list)
    second: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    prior_share: float = _PRIOR_SHARE  # of the variance left, before anything is known
    weight: float = 0.0  # variance of the noise over that of the effect

    @property
    def matters(self) -> bool:
        """Whether it shifts anything."""
        return self.weight <= _NEGLIGIBLE_WEIGHT

    def attach(self, pairs: Sequence[Pair], relations: Sequence[int]) -> None:
        """Number the effects of the measured pairs."""
        ones = [self.labels[a] for a, _, _ in pairs]
        others = [self.labels[b] for _, b, _ in pairs]
        if self.kind == "pair":
            ones = list(map(_pair_key, relations, ones, others))
            others = []
        elif self.kind == "end_by_relation":
            ones = list(map(_end_key, relations, ones))
            others = list(map(_end_key, relations, others))
        self.index = {key: number for number, key in enumerate(dict.fromkeys([*ones, *others]))}
        self.first = list(map(self.index.__getitem__, ones))
        self.second = list(map(self.index.__getitem__, others))
        counts = Counter([*self.first, *self.second])
        self.counts = [counts[number] for number in range(len(self.index))]
        self.values = [0.0] * len(self.index)

    def of_pair(self, relation: int, a: int, b: int) -> float:
        """What a "pair" effect adds for positions `a` and `b`; 0 where nothing was measured."""
        number = self.index.get(_pair_key(relation, self.labels[a], self.labels[b]))
        return 0.0 if number is None else self.values[number]

    def of_end(self, position: int, relation: int = 0) -> float:
        """What an "end" effect adds for one end; 0 where nothing was measured."""
        label = self.labels[position]
        number = self.index.get(label if self.kind == "end" else _end_key(relation, label))
        return 0.0 if number is None else self.values[number]

    def judge(self, residuals: Sequence[float]) -> None:
        """How far to believe this effect, from how residuals that share it vary together."""
        squares = [residual * residual for residual in residuals]
        variance = sum(squares) / len(squares)
        sharing = sum(count * (count - 1) / 2 for count in self.counts)
        products = zip(self._sums(residuals), self._sums(squares), strict=True)
        common = sum((total * total - square) / 2 for total, square in products)
        pulled = max(common, 0.0) + _PRIOR_PAIRS * self.prior_share * variance
        own = min(pulled / (sharing + _PRIOR_PAIRS), 0.9 * variance)
        noise = max(variance - (own if self.kind == "pair" else 2 * own), 0.1 * variance)
        self.weight = noise / own if own > 0 else math.inf

    def fit(self, residuals: list[float]) -> list[float]:
        """Take over what this effect explains; returns what is left."""
        if not self.matters:
            return residuals
        if self.kind == "pair":
            steps = self._steps(residuals, 1.0)
            return [residual - steps[number] for residual, number in zip(residuals, self.first, strict=True)]
        for _ in range(2):  # two effects a pair: damped steps, or both would explain the same residual
            steps = self._steps(residuals, 0.6)
            both = zip(residuals, self.first, self.second, strict=True)
            residuals = [residual - steps[one] - steps[other] for residual, one, other in both]
        return residuals

    def _sums(self, residuals: Sequence[float]) -> list[float]:
        totals = [0.0] * len(self.values)
        for number, residual in zip(self.first, residuals, strict=True):
            totals[number] += residual
        if self.kind != "pair":
            for number, residual in zip(self.second, residuals, strict=True):
                totals[number] += residual
        return totals

    def _steps(self, residuals: Sequence[float], damping: float) -> list[float]:
        fitted = zip(self._sums(residuals), self.counts, self.values, strict=True)
        steps = [
            damping * ((total + count * value) / (count + self.weight) - value)
            for total, count, value in fitted
        ]
        self.values = list(map(add, self.values, steps))
        return steps


def _pair_key(relation: int, one: int, other: int) -> int:
    return relation << 40 | one << 20 | other if one <= other else relation << 40 | other << 20 | one


def _end_key(relation: int, label: int) -> int:
    return relation << 20 | label
