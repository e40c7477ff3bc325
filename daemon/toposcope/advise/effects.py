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
from itertools import repeat
from operator import add, itemgetter, mul, sub
from typing import Final, Literal, cast

Pair = tuple[int, int, float]
# of two sets together; of each end; of each end, with a value of its own in every relation.
Kind = Literal["pair", "end", "end_by_relation"]

_PRIOR_PAIRS: Final = 30.0  # the prior weighs as much as this many pairs of residuals
_PRIOR_SHARE: Final = 0.03
_NEGLIGIBLE_WEIGHT: Final = 500.0  # noise over variance: such an effect would shift nothing
_LABEL_BITS: Final = 14  # of a label inside a key: MAX_CPUS domains with eight zones each
_LABEL_MASK: Final = (1 << _LABEL_BITS) - 1


class Sample:
    """The measured pairs as effects read them: by labels of one end, of the other, and by relation."""

    def __init__(self, ones: Sequence[int], others: Sequence[int], relations: Sequence[int]) -> None:
        self._count = len(ones)
        # One more each, so that it always makes a tuple.
        self._of_ones, self._of_others = itemgetter(*ones, ones[-1]), itemgetter(*others, others[-1])
        self.relations_high = [relation << _LABEL_BITS for relation in relations]
        self.relations_highest = [relation << 2 * _LABEL_BITS for relation in relations]

    def of_ones(self, labels: Sequence[int]) -> tuple[int, ...]:
        """The label of each pair's one end."""
        return cast("tuple[int, ...]", self._of_ones(labels)[: self._count])

    def of_others(self, labels: Sequence[int]) -> tuple[int, ...]:
        """The label of each pair's other end."""
        return cast("tuple[int, ...]", self._of_others(labels)[: self._count])


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

    def attach(self, sample: Sample) -> None:
        """Number the effects of the measured pairs."""
        if self.kind == "pair":
            self.first = self._numbered_pairs(sample)
        else:
            shifts = sample.relations_high if self.kind == "end_by_relation" else repeat(0)
            ones = sample.of_ones(self.labels)
            both = [*map(add, ones, shifts), *map(add, sample.of_others(self.labels), shifts)]
            self.index = {key: number for number, key in enumerate(dict.fromkeys(both))}
            numbers = list(map(self.index.__getitem__, both))
            self.first, self.second = numbers[: len(ones)], numbers[len(ones) :]
        counts = Counter(self.first)
        counts.update(self.second)
        self.counts = [counts[number] for number in range(len(self.index))]
        self.values = [0.0] * len(self.index)

    def _numbered_pairs(self, sample: Sample) -> list[int]:
        """The number of each pair's effect; the ends of alike pairs are put in order but once."""
        high = [label << _LABEL_BITS for label in self.labels]
        ends = map(add, sample.of_others(high), sample.of_ones(self.labels))
        keys = list(map(add, ends, sample.relations_highest))
        number_of = {}
        for key in dict.fromkeys(keys):
            one, other = key >> _LABEL_BITS & _LABEL_MASK, key & _LABEL_MASK
            ordered = key if one <= other else _pair_key(key >> 2 * _LABEL_BITS, one, other)
            number_of[key] = self.index.setdefault(ordered, len(self.index))
        return list(map(number_of.__getitem__, keys))

    def of_pair(self, relation: int, a: int, b: int) -> float:
        """What a "pair" effect adds for positions `a` and `b`; 0 where nothing was measured."""
        number = self.index.get(_pair_key(relation, self.labels[a], self.labels[b]))
        return 0.0 if number is None else self.values[number]

    def of_end(self, position: int, relation: int = 0) -> float:
        """What an "end" effect adds for one end; 0 where nothing was measured."""
        label = self.labels[position]
        number = self.index.get(label if self.kind == "end" else _end_key(relation, label))
        return 0.0 if number is None else self.values[number]

    def of_labels(self, relations: int) -> dict[int, list[float]]:
        """All `of_pair` of the nearest `relations` relations at once: for each label values by `columns`."""
        size = max(self.labels) + 1
        table: dict[int, list[float]] = {}
        for key, number in self.index.items():
            relation, one, other = key >> 2 * _LABEL_BITS, key >> _LABEL_BITS & _LABEL_MASK, key & _LABEL_MASK
            if relation >= relations:
                continue
            for mine, theirs in ((one, other), (other, one)):
                if mine not in table:
                    table[mine] = [0.0] * (relations * size)
                table[mine][relation * size + theirs] = self.values[number]
        return table

    def columns(self, relations: Sequence[int], positions: Sequence[int]) -> list[int]:
        """Where in a row of `of_labels` the values for `positions` are, which have these relations to it."""
        size = max(self.labels) + 1
        return [
            relation * size + self.labels[position]
            for relation, position in zip(relations, positions, strict=True)
        ]

    def judge(self, residuals: Sequence[float]) -> None:
        """How far to believe this effect, from how residuals that share it vary together."""
        squares = sum(map(mul, residuals, residuals))
        variance = squares / len(residuals)
        sharing = sum(count * (count - 1) / 2 for count in self.counts)
        sums = self._sums(residuals)
        # The square of a sum is that of its terms and twice their products.
        common = (sum(map(mul, sums, sums)) - (squares if self.kind == "pair" else 2 * squares)) / 2
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
            return list(map(sub, residuals, map(steps.__getitem__, self.first)))
        for _ in range(2):  # two effects a pair: damped steps, or both would explain the same residual
            steps = self._steps(residuals, 0.6)
            residuals = list(map(sub, residuals, map(steps.__getitem__, self.first)))
            residuals = list(map(sub, residuals, map(steps.__getitem__, self.second)))
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
    low, high = (one, other) if one <= other else (other, one)
    return relation << 2 * _LABEL_BITS | low << _LABEL_BITS | high


def _end_key(relation: int, label: int) -> int:
    return relation << _LABEL_BITS | label
