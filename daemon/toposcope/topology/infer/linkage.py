"""Average linkage: the tree in which CPUs, then groups of CPUs, join in the order of their mean log latency.

Why the mean of logarithms: a level is a ratio of latencies, not a difference, and one slow pair among many
moves a mean of logs little. If every CPU of a group is nearer to each of its mates than to any stranger, the
group is a branch of this tree, whatever the latencies of other groups are (proof: the mean over mates then
stays below the mean over strangers at every join). So no level that is really there is lost here; which joins
are levels is decided in `cuts`. Method: Sokal and Michener 1958 (UPGMA); pairs that were not measured are
left out of the means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Rows = Sequence[Sequence[float | None]]


@dataclass(frozen=True, slots=True)
class Join:
    """Two groups, each named by one of its members, became one; `height` is their mean log latency."""

    height: float
    into: int
    other: int


def join_order(logs: Rows) -> list[Join]:
    """The joins of a symmetric matrix of log latencies, nearest first; about O(n²) time on real machines.

    Heights never fall: where a missing pair would make one fall, it is raised to its predecessor's. Groups
    between which no pair at all was measured are never joined, so there may be fewer than n-1 joins.
    """
    tree = _Tree(logs)
    joins: list[Join] = []
    height = -math.inf
    while (nearest := tree.nearest_two()) is not None:
        distance, into, other = nearest
        height = max(height, distance)
        joins.append(Join(height, into, other))
        tree.join(into, other)
    return joins


class _Tree:
    """Sums and counts of log latencies between the groups that are left, each with its nearest one."""

    def __init__(self, logs: Rows) -> None:
        self._sums = [[0.0 if log is None else log for log in row] for row in logs]
        self._counts = [[0 if log is None else 1 for log in row] for row in logs]
        self._means = [[math.inf if log is None else log for log in row] for row in logs]
        for position, row in enumerate(self._means):
            row[position] = math.inf
        self._left = set(range(len(self._means)))
        self._nearest = [0] * len(self._means)
        self._nearest_mean = [math.inf] * len(self._means)
        for position in self._left:
            self._seek_nearest(position)

    def _seek_nearest(self, group: int) -> None:
        row = self._means[group]
        self._nearest_mean[group] = min(row)
        self._nearest[group] = row.index(self._nearest_mean[group])

    def nearest_two(self) -> tuple[float, int, int] | None:
        """(distance, group, other) of the two nearest groups; None where nothing is left to join."""
        distance = min(self._nearest_mean, default=math.inf)
        if distance == math.inf:
            return None
        group = self._nearest_mean.index(distance)
        return distance, group, self._nearest[group]

    def join(self, into: int, other: int) -> None:
        """Make one group of two; `other` is gone."""
        sums = [a + b for a, b in zip(self._sums[into], self._sums[other], strict=True)]
        counts = [a + b for a, b in zip(self._counts[into], self._counts[other], strict=True)]
        means = [math.inf] * len(sums)
        self._left.discard(other)
        self._nearest_mean[other] = math.inf
        for group in self._left:
            if group == into:
                continue
            mean = means[group] = sums[group] / counts[group] if counts[group] else math.inf
            self._sums[group][into] = sums[group]
            self._counts[group][into] = counts[group]
            row = self._means[group]
            row[into], row[other] = mean, math.inf
            if self._nearest[group] in (into, other):
                self._seek_nearest(group)
            elif mean < self._nearest_mean[group]:
                self._nearest[group], self._nearest_mean[group] = into, mean
        self._sums[into], self._counts[into], self._means[into] = sums, counts, means
        self._sums[other], self._counts[other], self._means[other] = [], [], [math.inf]
        self._seek_nearest(into)
