"""Which CPUs are threads of one core, where there is only a latency matrix and no declared topology.

Threads of a core hand a line over inside its own first-level cache: 4 to 16 ns in the published matrices of
SMT machines that show it at all, at least 1.25 times nearer than the next CPU. Cores with a common second
or third level cache look the same in shape (pairs at 41 to 60 ns against 90 to 260, fours at 20 against
103), so here, other than where levels are inferred, the absolute time decides: what takes longer than
`NEAR_NS` has left its core.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

from toposcope.matrix import Matrix
from toposcope.topology.model import Partition

NEAR_NS: Final = 17.0
_GAP_RATIO: Final = 1.25
_SIZES: Final = (2, 4, 8)  # threads a core
_LEAST_SHARE: Final = 1 / 3  # of the CPUs have siblings: of hybrid machines only the large cores do

_Row = Sequence[float | None]


def siblings(matrix: Matrix) -> Partition:
    """The cores with more than one thread that the matrix shows; empty where it shows none."""
    rows = matrix.symmetric()
    found = max((_groups_of(rows, size) for size in _SIZES), key=lambda groups: sum(map(len, groups)))
    if sum(map(len, found)) < _LEAST_SHARE * len(rows):
        return ()
    if len(found[0]) == 2:
        found += _late_pairs(rows, found)
    return tuple(sorted(tuple(sorted(matrix.cpus[index] for index in group)) for group in found))


def _groups_of(rows: Sequence[_Row], size: int) -> list[tuple[int, ...]]:
    """Sets of `size` positions that all agree on who is near, with a gap behind."""
    votes: dict[tuple[int, ...], int] = {}
    for index, row in enumerate(rows):
        near = sorted((value, other) for other, value in enumerate(row) if value is not None)[:size]
        if len(near) < size - 1 or not 0 < near[0][0] <= near[size - 2][0] <= NEAR_NS:
            continue
        if len(near) == size and near[-1][0] < _GAP_RATIO * near[-2][0]:
            continue
        group = tuple(sorted([index, *(other for _, other in near[: size - 1])]))
        votes[group] = votes.get(group, 0) + 1
    return [group for group, count in votes.items() if count == size]


def _late_pairs(rows: Sequence[_Row], pairs: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Pairs that a single odd neighbour hid: as near as the others, and numbered as the others are."""
    paired = {index for pair in pairs for index in pair}
    latencies = [value for first, second in pairs if (value := rows[first][second]) is not None]
    limit = min(NEAR_NS, 1.5 * statistics.median(latencies))
    steps = statistics.multimode(second - first for first, second in pairs)
    late: list[tuple[int, ...]] = []
    for index in range(len(rows)):
        for step in steps:
            other = index + step
            value = rows[index][other] if other < len(rows) else None
            if value is not None and value <= limit and not {index, other} & paired:
                late.append((index, other))
                paired |= {index, other}
    return late
