"""Pairs that read far slower than everything around them: a preempted sample, not a distance.

A pair (i, j) is one if j is much nearer to both CPUs next to i, and i to both CPUs next to j, than the two
are to each other. On a real machine, with levels or a mesh, who is near to my neighbours is near to me. They
are few by nature; where many pairs look like that, it is the machine, and none is left out.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import Final

from toposcope.topology.infer.linkage import Rows

MIN_EXCESS_RATIO: Final = 1.2
MAX_SHARE: Final = 0.03
NEIGHBOURS: Final = 2

Row = list[float | None]


def without_outliers(logs: Rows) -> tuple[list[Row], int]:
    """The rows with outliers made "not measured" in both directions, and how many pairs these were."""
    neighbours = [_nearest(row) for row in logs]
    limit = math.log(MIN_EXCESS_RATIO)
    odd = []
    pairs = 0
    for i, row in enumerate(logs):
        for j in range(i):
            log = row[j]
            if log is None:
                continue
            pairs += 1
            if _excess(logs, neighbours[i], j, log) > limit and _excess(logs, neighbours[j], i, log) > limit:
                odd.append((i, j))
    rows = [list(row) for row in logs]
    if len(odd) > MAX_SHARE * pairs:
        return rows, 0
    for i, j in odd:
        rows[i][j] = rows[j][i] = None
    return rows, len(odd)


def _nearest(row: Sequence[float | None]) -> list[int]:
    """The CPUs nearest to this one, one more than are needed: the other end of a pair may be among them."""
    known = [(log, position) for position, log in enumerate(row) if log is not None]
    return [position for _, position in heapq.nsmallest(NEIGHBOURS + 1, known)]


def _excess(logs: Rows, neighbours: list[int], other: int, log: float) -> float:
    """By how much a CPU's pair with `other` is slower than `other` is from the farther of its neighbours."""
    row = logs[other]
    around = [row[neighbour] for neighbour in neighbours if neighbour != other][:NEIGHBOURS]
    known = [near for near in around if near is not None]
    return log - max(known) if len(known) == NEIGHBOURS else 0.0
