"""Modes: the values that a target keeps returning to, told apart from mere spread; pure.

A hypervisor that moves vCPUs makes one pair read 9, 26 or 109 ns by turns. A pooled value would describe
none of them. Visits are split where the gap between neighbouring estimates (as a ratio) is far wider than
what visits differ by anyway; a cluster that only one or two strays make up is no mode.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from toposcope.measure.estimate import combine
from toposcope.results import Estimate, Mode

# Two modes differ at least by this ratio. What lines and repeats do to a visit's estimate stays below
# it: lines of a pair differ by 8 %, repeats in one mode by 1 to 3 % (docs/benchmarks-kernels.md).
_MODE_RATIO_MIN: Final = 1.25
# The gap between two modes is at least this many times the typical step inside them.
_GAP_TO_STEP_MIN: Final = 4.0
_MODE_SHARE_MIN: Final = 0.04
_MODE_VISITS_MIN: Final = 2


@dataclass(frozen=True, slots=True)
class Observation:
    """One visit's estimate at one time (seconds since the epoch)."""

    time_s: float
    estimate: Estimate

    @property
    def value(self) -> float:
        """What is compared: the visit's estimate in the measure's unit."""
        return self.estimate.estimate


@dataclass(frozen=True, slots=True)
class Modes:
    """What a series of visits shows. `stray_share` is the part of visits that belongs to no mode.

    `switches_per_hour_at_least` is a lower bound: between two visits any number of switches may hide,
    so it never exceeds one a visit (`visits_per_hour` is the sampling rate it was seen at).
    """

    modes: tuple[Mode, ...]
    stray_share: float
    switches_per_hour_at_least: float
    visits_per_hour: float


def find(series: Sequence[Observation]) -> Modes:
    """The modes of a series of visits, in ascending order of value; one where there is just one.

    `series` may be in any order. Modes lie apart by a ratio, and nothing has one to zero: a series with a
    zero in it (a CPU from which nothing was taken) counts as one mode.
    """
    if not series:
        return Modes((), 0.0, 0.0, 0.0)
    ordered = sorted(series, key=lambda seen: seen.value)
    clusters = _split(ordered) if ordered[0].value > 0 else [ordered]
    needed = max(_MODE_VISITS_MIN, math.ceil(_MODE_SHARE_MIN * len(series)))
    if len(clusters) > 1:
        clusters = [cluster for cluster in clusters if len(cluster) >= needed] or [ordered]
    kept = sum(map(len, clusters))
    modes = tuple(_describe(cluster, kept) for cluster in clusters)
    switches, hours = _switches(series, clusters)
    return Modes(
        modes,
        1 - kept / len(series),
        switches / hours if hours > 0 else 0.0,
        (len(series) - 1) / hours if hours > 0 else 0.0,
    )


def _split(ordered: Sequence[Observation]) -> list[list[Observation]]:
    """Cut at gaps that are wide in themselves and against the steps on both of their sides."""
    logs = [math.log(seen.value) for seen in ordered]
    steps = [after - before for before, after in itertools.pairwise(logs)]
    wide = [step for step in steps if step >= math.log(_MODE_RATIO_MIN)]
    narrow = [step for step in steps if step < math.log(_MODE_RATIO_MIN)]
    typical = statistics.fmean(narrow) if narrow else 0.0
    limit = max(math.log(_MODE_RATIO_MIN), _GAP_TO_STEP_MIN * typical) if wide else math.inf
    clusters = [[ordered[0]]]
    for step, seen in zip(steps, ordered[1:], strict=True):
        if step >= limit:
            clusters.append([])
        clusters[-1].append(seen)
    return clusters


def _describe(cluster: Sequence[Observation], kept: int) -> Mode:
    return Mode(
        value=combine([seen.estimate for seen in cluster]),
        share=len(cluster) / kept,
        visits=len(cluster),
        last_seen_s=max(seen.time_s for seen in cluster),
    )


def _switches(series: Sequence[Observation], clusters: Sequence[Sequence[Observation]]) -> tuple[int, float]:
    mode_of = {id(seen): index for index, cluster in enumerate(clusters) for seen in cluster}
    in_time = sorted(series, key=lambda seen: seen.time_s)
    visited = [mode_of[id(seen)] for seen in in_time if id(seen) in mode_of]
    switches = sum(before != after for before, after in itertools.pairwise(visited))
    return switches, (in_time[-1].time_s - in_time[0].time_s) / 3600
