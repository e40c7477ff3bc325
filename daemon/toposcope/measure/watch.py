"""Which costs changed: one change detector for each group of results; pure, fed visit by visit.

Results are grouped by probe and relation (or node pair). A group's series is one value an hour: the median
of the hour's sound visits, since the detector's error rates hold for some two dozen visits a day
(docs/drift.md), and visits come in bursts.

Every group adds to the false alarms of its host, and all share what a host may have of them, so what is
watched is little on purpose: lines between CPUs and memory from nodes, each in its first variant, which is
what hardware and firmware decide. The rest follows from these, or from software.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from toposcope.measure.drift import Detector, DriftEvent, Memory, State
from toposcope.measure.drift import Visit as Hour
from toposcope.results import Identity, Visit

_SECONDS_PER_HOUR: Final = 3600
# What is watched; a probe's first variant stands for the others (model=thread, home=first, pages=base).
_WATCHED: Final = {
    "cacheline_cas": {"model": "thread", "home": "first"},
    "cacheline_handover": {"model": "thread", "home": "first"},
    "cacheline_bandwidth": {"model": "thread", "home": "first"},
    "memory_latency": {"pages": "base"},
}
# With more groups a step of a fifth would no longer be found in time (docs/drift.md); first come, first
# served, and no probe takes it all.
GROUPS_MAX: Final = 24
GROUPS_OF_A_PROBE_MAX: Final = 8
# A group counts as drifted for this long after its change; by then the new value is the baseline.
DRIFTED_S: Final = 7 * 86_400

_Key = tuple[str, str, str]


@dataclass(slots=True)
class _Series:
    detector: Detector = field(default_factory=Detector)
    hour: int = 0
    estimates: list[float] = field(default_factory=list)
    variations: list[float] = field(default_factory=list)
    changed_s: float | None = None


class SeriesMemory(msgspec.Struct, frozen=True):
    """One group's series as it is kept over a restart; `estimates` are those of the hour that is not over."""

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
            (each.probe, each.variant, each.where): _Series(
                Detector(each.detector),
                each.hour,
                list(each.estimates),
                list(each.variations),
                each.changed_s,
            )
            for each in kept.series
        }

    def memory(self) -> WatchMemory:
        """What a watch needs to go on from here."""
        series = [
            SeriesMemory(
                *key,
                each.hour,
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
        if key not in self._series and not self._has_room(identity.probe):
            return None
        series = self._series.setdefault(key, _Series())
        series.detector.groups = len(self._series)
        hour = int(visit.time_s // _SECONDS_PER_HOUR)
        found = _close(series) if hour != series.hour else None
        series.hour = hour
        value = visit.measures[measure]
        series.estimates.append(value.estimate)
        series.variations.append((value.high - value.low) / 2 / value.estimate if value.estimate > 0 else 1.0)
        if found is None:
            return None
        series.changed_s = found.time_s
        return _document(key, measure, found)

    def _has_room(self, probe: str) -> bool:
        of_probe = sum(key[0] == probe for key in self._series)
        return len(self._series) < GROUPS_MAX and of_probe < GROUPS_OF_A_PROBE_MAX

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


def _close(series: _Series) -> DriftEvent | None:
    if not series.estimates:
        return None
    hour = Hour(
        series.hour * float(_SECONDS_PER_HOUR),
        statistics.median(series.estimates),
        statistics.median(series.variations),
    )
    series.estimates, series.variations = [], []
    return series.detector.add(hour)


def _is_watched(identity: Identity) -> bool:
    wanted = _WATCHED.get(identity.probe)
    return wanted is not None and all(
        identity.variant.get(key, value) == value for key, value in wanted.items()
    )


def _variant(identity: Identity) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(identity.variant.items()))


def _where(identity: Identity) -> str:
    target = identity.target
    node = f"CPU {target.cpus[0]} to node {target.node}" if target.node is not None else ""
    return identity.relation or node


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
