"""Which of several ways to run a command is best: decided round by round from its own runs; pure.

Every round runs each way that is still in, in a random order, so that what drifts with the machine meets
all of them alike. Ways are compared within rounds: the logarithms of the ratios of one round's costs make a
sample whose centre is estimated by Hodges and Lehmann, with the interval that belongs to Wilcoxon's signed
ranks. It holds for any symmetric distribution and needs no variance (Hollander, Wolfe & Chicken,
Nonparametric Statistical Methods, sections 3.1 to 3.3). The error of 5 % is shared among the comparisons
(Bonferroni).

A way whose every run was worse than every run of the best one, by 5 % in the median, is stopped early; the
first way, which is the one to beat, never is.
"""

from __future__ import annotations

import functools
import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Answer = Literal["winner", "no difference"]

_ERROR: Final = 0.05
_STOP_ROUNDS_MIN: Final = 3
_STOP_RATIO_MIN: Final = 1.05
# A smaller difference is not worth a command line, however sure it is.
_LEAST_RATIO: Final = 1.01


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many times the other's cost is this one's, with the interval; None where there are too few runs."""

    ratio: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Standing:
    """One way after its runs. `gain` is the first way's cost over this one's: above 1 is better than it."""

    name: str
    values: tuple[float, ...]
    median: float
    gain: Comparison | None
    stopped_early: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """`winner` is None with `no difference`; `as_good` are those that can't be told from the winner."""

    answer: Answer
    winner: str | None
    as_good: tuple[str, ...]
    standings: tuple[Standing, ...]
    reason: str


def rounds_needed(ways: int) -> int:
    """The fewest rounds in which anything can be told between so many ways."""
    return math.ceil(1 - math.log2(_ERROR / max(1, ways - 1)))


class Tuning:
    """Costs of `names`, of which the first is the one to beat; `higher_is_better` turns them around."""

    def __init__(
        self, names: Sequence[str], *, rounds: int, seed: int, higher_is_better: bool = False
    ) -> None:
        assert len(set(names)) == len(names) > 1, "two ways at least, each with a name of its own"
        self._names = tuple(names)
        self._rounds = rounds
        self._random = random.Random(seed)
        self._higher_is_better = higher_is_better
        self._values: dict[str, list[float]] = {name: [] for name in names}
        self._stopped: set[str] = set()

    def next_round(self) -> list[str]:
        """Who runs next, in this order; empty when enough is known or all rounds were run."""
        self._stop_losers()
        alive = self._alive()
        if len(self._values[self._names[0]]) >= self._rounds or len(alive) < 2:
            return []
        self._random.shuffle(alive)
        return alive

    def record(self, name: str, value: float) -> None:
        """One run's cost: a finite number above zero."""
        assert 0 < value < math.inf, "logarithms need positive numbers"
        self._values[name].append(value)

    def verdict(self) -> Verdict:
        """What is known now."""
        first = self._names[0]
        standings = tuple(self._standing(name) for name in self._names if self._values[name])
        placed = [name for name in self._alive() if name != first and self._values[name]]
        if not placed or not self._values[first]:
            if not self._stopped:
                return Verdict("no difference", None, (), standings, "nothing was run to the end of a round")
            return Verdict("winner", first, (), standings, "every run of every other way was worse")
        leader = min(placed, key=self._median_cost)
        gain = self._compare(first, leader)
        if gain.low is None or gain.high is None:
            reason = f"{rounds_needed(len(self._names))} rounds are needed to tell anything"
            return Verdict("no difference", None, (), standings, reason)
        if gain.low > 1 and gain.ratio >= _LEAST_RATIO:
            reason = f"{gain.ratio:.3f} times better than {first} ({gain.low:.3f} to {gain.high:.3f})"
            return Verdict("winner", leader, self._as_good(leader, placed), standings, reason)
        if gain.high < 1 and gain.ratio <= 1 / _LEAST_RATIO:
            reason = f"the next best, {leader}, is {1 / gain.ratio:.3f} times worse"
            return Verdict("winner", first, (), standings, reason)
        reason = (
            f"the best other way, {leader}, is {gain.low:.3f} to {gain.high:.3f} times as good as {first}"
        )
        return Verdict("no difference", None, (), standings, reason)

    def _alive(self) -> list[str]:
        return [name for name in self._names if name not in self._stopped]

    def _costs(self, name: str) -> list[float]:
        values = self._values[name]
        return [1 / value for value in values] if self._higher_is_better else values

    def _median_cost(self, name: str) -> float:
        return statistics.median(self._costs(name))

    def _stop_losers(self) -> None:
        alive = [name for name in self._alive() if len(self._values[name]) >= _STOP_ROUNDS_MIN]
        if not alive:
            return
        best = min(alive, key=self._median_cost)
        for name in alive:
            is_worse = min(self._costs(name)) > max(self._costs(best))
            by_far = self._median_cost(name) >= _STOP_RATIO_MIN * self._median_cost(best)
            if name != self._names[0] and is_worse and by_far:
                self._stopped.add(name)

    def _standing(self, name: str) -> Standing:
        first = self._names[0]
        gain = None if name == first or not self._values[first] else self._compare(first, name)
        values = tuple(self._values[name])
        return Standing(name, values, statistics.median(values), gain, name in self._stopped)

    def _compare(self, name: str, other: str) -> Comparison:
        pairs = zip(self._costs(name), self._costs(other), strict=False)
        error = _ERROR / (len(self._names) - 1)
        centre, low, high = signed_rank_interval([math.log(one / two) for one, two in pairs], error)
        return Comparison(math.exp(centre), None if low is None else math.exp(low),
                          None if high is None else math.exp(high))  # fmt: skip

    def _as_good(self, leader: str, placed: Sequence[str]) -> tuple[str, ...]:
        found = []
        for name in placed:
            compared = self._compare(name, leader)
            if name != leader and (compared.low is None or compared.low <= 1):
                found.append(name)
        return tuple(found)


def signed_rank_interval(
    differences: Sequence[float], error: float
) -> tuple[float, float | None, float | None]:
    """The Hodges–Lehmann centre of a sample, and its interval (low, high) with that error in all.

    The bounds are None where the sample is too small for an interval of that error.
    """
    assert differences, "an interval of nothing"
    count = len(differences)
    walsh = sorted((differences[i] + differences[j]) / 2 for i in range(count) for j in range(i, count))
    rank = _rank_below(count, error / 2)
    centre = statistics.median(walsh)
    return (centre, None, None) if rank is None else (centre, walsh[rank], walsh[len(walsh) - 1 - rank])


@functools.cache
def _rank_below(count: int, tail: float) -> int | None:
    """The largest k with P(W ≤ k) ≤ tail for the signed-rank sum W of so many values; None: there is none."""
    ways = [1]  # ways[w]: subsets of 1…count whose sum is w
    for rank in range(1, count + 1):
        longer = ways + [0] * rank
        for total, number in enumerate(ways):
            longer[total + rank] += number
        ways = longer
    below, found = 0, None
    for total, number in enumerate(ways):
        below += number
        if below > tail * 2**count:
            break
        found = total
    return found
