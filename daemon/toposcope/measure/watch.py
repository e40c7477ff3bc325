"""Which costs changed: one change detector for each group of results; pure, fed visit by visit.

Results are grouped by probe and relation, node pair or core set. The series of a line between CPUs, or of
memory from a node, is one value an hour: the median of the hour's sound visits, since the detector's error
rates hold for some two dozen visits a day (docs/drift.md), and visits come in bursts. What is visited less
often, such as memory bandwidth, has one value a day, and a change of it is found in days, not in hours.

Every group adds to the false alarms of its host, and all share what a host may have of them, so a probe is
watched in its first variant only, which stands for the others, and Python's not at all: there the
interpreter is what changes.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from toposcope.measure.drift import DAILY, HOURLY, Detector, DriftEvent, Memory, Rate, State
from toposcope.measure.drift import Visit as Period
from toposcope.results import Identity, Visit

_PERIOD_S: Final = {HOURLY: 3600, DAILY: 86_400}
_PAIR: Final = {"model": "thread", "home": "first"}
_THREAD: Final = {"model": "thread"}
# What is watched, how often, and the variant that stands for the others. `os_jitter` is left out: what the
# system steals varies by itself.
_WATCHED: Final[dict[str, tuple[Rate, dict[str, str]]]] = {
    "cacheline_cas": (HOURLY, _PAIR),
    "cacheline_handover": (HOURLY, _PAIR),
    "cacheline_bandwidth": (HOURLY, _PAIR),
    "memory_latency": (HOURLY, {"pages": "base"}),
    "memory_bandwidth": (DAILY, {"operation": "read"}),
    "cacheline_contention": (DAILY, _THREAD),
    "false_sharing": (DAILY, _THREAD),
    "smt_interference": (DAILY, _THREAD),
    "wakeup": (DAILY, _THREAD),
    "switch": (DAILY, _THREAD),
    "spawn": (DAILY, _THREAD),
    "ipc": (DAILY, {"model": "thread", "channel": "pipe"}),
    "workload_bfs": (DAILY, _THREAD),
    "workload_pagerank": (DAILY, _THREAD),
}
# With more hourly groups a step of a fifth would no longer be found in time (docs/drift.md); first come,
# first served, and no probe takes it all.
GROUPS_MAX: Final = {HOURLY: 24, DAILY: 32}
GROUPS_OF_A_PROBE_MAX: Final = 8
# A group counts as drifted for this long after its change; by then the new value is the baseline.
DRIFTED_S: Final = 7 * 86_400

_Key = tuple[str, str, str]


@dataclass(slots=True)
class _Series:
    rate: Rate
    detector: Detector
    period: int = 0
    estimates: list[float] = field(default_factory=list)
    variations: list[float] = field(default_factory=list)
    changed_s: float | None = None


class SeriesMemory(msgspec.Struct, frozen=True):
    """One group's series as it is kept over a restart.

    `hour` counts its periods (hours or days) since the epoch; `estimates` are those of the one not over yet.
    """

    probe: str
    variant: str
    where: str
    hour: int
    estimates: tuple[float, ...]
    variations: tuple[float, ...]
    changed_s: float | None
    detector: Memory


class WatchMemory(msgspec.Struct, frozen=True):
    """All groups as they are kept over a restart, with the time of the last visit that they saw."""

    seen_s: float = 0.0
    series: tuple[SeriesMemory, ...] = ()


class GroupStanding(msgspec.Struct, frozen=True):
    """One group now; `changed_s` is of its last change.

    `baseline` (in the measure's unit) and `variation_ratio` (how much visits differ) are None while learning.
    """

    probe: str
    variant: str
    relation: str
    state: State
    baseline: float | None
    variation_ratio: float | None
    changed_s: float | None


class Watch:
    """All groups of one machine. A new one is made when the machine itself changed."""

    def __init__(self, memory: WatchMemory | None = None) -> None:
        kept = memory or WatchMemory()
        self._seen_s = kept.seen_s
        self._series: dict[_Key, _Series] = {
            (each.probe, each.variant, each.where): _restored(each)
            for each in kept.series
            if each.probe in _WATCHED
        }

    def memory(self) -> WatchMemory:
        """What a watch needs to go on from here."""
        series = [
            SeriesMemory(
                *key,
                each.period,
                tuple(each.estimates),
                tuple(each.variations),
                each.changed_s,
                each.detector.memory(),
            )
            for key, each in self._series.items()
        ]
        return WatchMemory(self._seen_s, tuple(series))

    def observe(self, identity: Identity, measure: str, visit: Visit) -> dict[str, Any] | None:
        """Take a visit, in order of time; the event where it closes an hour that proves a change."""
        self._seen_s = visit.time_s
        if visit.verdict != "ok" or measure not in visit.measures or not _is_watched(identity):
            return None
        key = (identity.probe, _variant(identity), _where(identity))
        rate, _ = _WATCHED[identity.probe]
        if key not in self._series:
            if not self._has_room(identity.probe, rate):
                return None
            self._series[key] = _Series(rate, Detector(rate=rate))
        series = self._series[key]
        series.detector.groups = self._number(rate)
        period = int(visit.time_s // _PERIOD_S[rate])
        found = _close(series) if period != series.period else None
        series.period = period
        value = visit.measures[measure]
        series.estimates.append(value.estimate)
        series.variations.append((value.high - value.low) / 2 / value.estimate if value.estimate > 0 else 1.0)
        if found is None:
            return None
        series.changed_s = found.time_s
        return _document(key, measure, found)

    def _number(self, rate: Rate) -> int:
        return sum(series.rate is rate for series in self._series.values())

    def _has_room(self, probe: str, rate: Rate) -> bool:
        of_probe = sum(key[0] == probe for key in self._series)
        return self._number(rate) < GROUPS_MAX[rate] and of_probe < GROUPS_OF_A_PROBE_MAX

    def drifted(self, now_s: float) -> dict[str, int]:
        """Groups that changed within the last week, by relation or node pair: 0 where none did."""
        counts: dict[str, int] = {}
        for (_, _, where), series in self._series.items():
            changed = series.changed_s is not None and now_s - series.changed_s < DRIFTED_S
            counts[where] = counts.get(where, 0) + changed
        return counts

    def standings(self) -> tuple[GroupStanding, ...]:
        """Every group that is watched, and whether its next change could be seen."""
        return tuple(
            GroupStanding(
                *key,
                series.detector.state,
                series.detector.baseline,
                series.detector.variation_ratio,
                series.changed_s,
            )
            for key, series in self._series.items()
        )


def _restored(kept: SeriesMemory) -> _Series:
    rate, _ = _WATCHED[kept.probe]
    detector = Detector(kept.detector, rate=rate)
    return _Series(rate, detector, kept.hour, list(kept.estimates), list(kept.variations), kept.changed_s)


def _close(series: _Series) -> DriftEvent | None:
    if not series.estimates:
        return None
    period = Period(
        series.period * float(_PERIOD_S[series.rate]),
        statistics.median(series.estimates),
        statistics.median(series.variations),
    )
    series.estimates, series.variations = [], []
    return series.detector.add(period)


def _is_watched(identity: Identity) -> bool:
    _, wanted = _WATCHED.get(identity.probe, (None, None))
    return wanted is not None and all(
        identity.variant.get(key, value) == value for key, value in wanted.items()
    )


def _variant(identity: Identity) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(identity.variant.items()))


def _where(identity: Identity) -> str:
    """The relation; where there is none the node pair, the core set (to a node), or the CPU."""
    target = identity.target
    if identity.relation:
        return identity.relation
    origin = target.core_set or f"CPU {target.cpus[0]}"
    return f"{origin} to node {target.node}" if target.node is not None else origin


def _document(key: _Key, measure: str, event: DriftEvent) -> dict[str, Any]:
    probe, variant, where = key
    return {
        "probe": probe,
        "variant": variant,
        "relation": where,
        "measure": measure,
        "since_s": event.time_s,
        "before": event.before,
        "after": event.after,
        "ratio": event.ratio,
        "interval": [event.ratio_low, event.ratio_high],
        "evidence": event.evidence,
    }
