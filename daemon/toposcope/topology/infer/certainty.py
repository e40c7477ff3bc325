"""How certain it is that a cut is a level.

The pairs that join just below a cut and those that join just above it are its two *bands*, bounded by the
neighbouring levels. The cut is a level if the bands lie apart: apart compared with how wide they are
themselves. On a mesh the step from a neighbour to the next one is no larger than the steps after it, so
nothing stands out, however many CPUs there are; behind sockets and caches it does, whatever the latencies.
All numbers are ratios; no nanosecond is compared with anything.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from toposcope.topology.infer.cuts import Cut
from toposcope.topology.infer.linkage import Rows
from toposcope.topology.infer.quality import FINE, Clock

# Share of a band's pairs at either end that may be outliers (preempted samples) without widening it.
OUTLIER_SHARE: Final = 0.04
FEW_PAIRS: Final = 6
# With a larger share of the CPUs in no group, the groups may be what a tick of the clock made of one level.
SINGLE_SHARE: Final = 0.25
# Measuring twice never gives the same number twice; narrower bands than this are not believed.
NARROWEST_BAND: Final = 0.08
# To invent a level is worse than to miss one.
LEAST_CERTAINTY: Final = 0.9
# Fitted to generated machines by `bench/bench_infer.py --fit`; see docs/infer.md.
OFFSET, PER_SEPARATION, PER_STEP = -3.4, 2.7, 13.2


@dataclass(frozen=True)
class Judged:
    """A cut, the gap between its bands compared with their width, and the certainty that it is a level (0-1).

    `near_ns` is the median latency of the pairs that join at this level, `surprise` what speaks against it
    because it shows on so few pairs or CPUs.
    """

    cut: Cut
    separation: float
    certainty: float
    near_ns: float | None
    surprise: float = 0.0


def choose(cuts: Sequence[Cut], logs: Rows, clock: Clock = FINE) -> tuple[list[Judged], list[Judged]]:
    """(levels narrow to wide, cuts that were given up): all cuts that are rather levels than not.

    The least certain cut goes first; then its two bands are one, and its neighbours are judged anew.
    Values one step of the clock apart may be the same one.
    """
    left = list(cuts)
    bands = _bands(left, logs)
    given_up: list[Judged] = []
    while True:
        judged = [_judged(cut, bands[index], bands[index + 1], clock) for index, cut in enumerate(left)]
        worst = min(range(len(judged)), key=lambda index: judged[index].certainty, default=None)
        if worst is None or judged[worst].certainty >= LEAST_CERTAINTY:
            return judged, given_up
        given_up.append(judged[worst])
        del left[worst]
        bands[worst : worst + 2] = [sorted(bands[worst] + bands[worst + 1])]


def judge(cuts: Sequence[Cut], logs: Rows, clock: Clock = FINE) -> list[Judged]:
    """All cuts in place: each one's bands end at its neighbours. (`choose` starts from here.)"""
    bands = _bands(cuts, logs)
    return [_judged(cut, bands[index], bands[index + 1], clock) for index, cut in enumerate(cuts)]


def certainty(separation: float, step: float, surprise: float) -> float:
    """The share of cuts with these numbers that were levels, among generated machines (docs/infer.md)."""
    score = OFFSET + PER_SEPARATION * separation + PER_STEP * step - surprise
    return 1 / (1 + math.exp(-max(-40.0, min(40.0, score))))


def _bands(cuts: Sequence[Cut], logs: Rows) -> list[list[float]]:
    """The log latencies of all pairs, ascending, by the number of cuts at which the two are strangers."""
    bands: list[list[float]] = [[] for _ in range(len(cuts) + 1)]
    # Wide to narrow: most pairs are strangers at the widest cut, so one comparison places them.
    columns = [cut.labels for cut in reversed(cuts)]
    last = len(cuts)
    for i, row in enumerate(logs):
        own = [labels[i] for labels in columns]
        for j in range(i):
            log = row[j]
            if log is None:
                continue
            depth = 0
            while depth < last and columns[depth][j] == own[depth]:
                depth += 1
            bands[last - depth].append(log)
    for band in bands:
        band.sort()
    return bands


def _judged(cut: Cut, near: list[float], far: list[float], clock: Clock) -> Judged:
    if not near or not far:
        return Judged(cut, 0.0, 0.0, None)
    near_low, near_high = _edges(near, _spare(near), _spare(near))
    # A few odd pairs among many strangers are more than a few beside a handful of mates.
    far_low, far_high = _edges(far, min(_spare(far), _spare(near)), _spare(far))
    width = (near_high - near_low + far_high - far_low) / 2 + NARROWEST_BAND
    one_grain = math.log1p(clock.grain_ns / math.exp(near_high))
    separation = (far_low - near_high) / (width + one_grain)
    # A few pairs that are one tick faster than all others are the clock's doing.
    one_tick = math.log1p(max(clock.grain_ns, clock.tick_ns) / math.exp(near_high))
    step = cut.step - one_tick if _partly_single(cut) else cut.step
    surprise = _surprise(cut, len(near), len(near) + len(far))
    near_ns = math.exp(near[len(near) // 2])
    return Judged(cut, separation, certainty(separation, step, surprise), near_ns, surprise)


def _surprise(cut: Cut, mates: int, pairs: int) -> float:
    """What speaks against a cut because so few pairs or CPUs show it, as a logarithm of odds.

    One odd pair among many, or one odd CPU, may be chance: there were as many of them that could have been
    the odd one as the machine has. Each further one has to be odd by chance as well.
    """
    sizes = Counter(cut.labels).values()
    fewest = len(cut.labels) - max(sizes)
    return max(math.log(pairs) / mates, math.log(len(cut.labels)) / fewest)


def _partly_single(cut: Cut) -> bool:
    alone = sum(size == 1 for size in Counter(cut.labels).values())
    return alone > SINGLE_SHARE * len(cut.labels)


def _spare(band: list[float]) -> int:
    """How many pairs at one end may be outliers; a handful is too few to call one of them that."""
    return int(len(band) * OUTLIER_SHARE) + 1 if len(band) >= FEW_PAIRS else 0


def _edges(band: list[float], spare_low: int, spare_high: int) -> tuple[float, float]:
    """Where a band begins and ends, outliers left out."""
    return band[spare_low], band[-1 - spare_high]
