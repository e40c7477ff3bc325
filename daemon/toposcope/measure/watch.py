"""Which costs changed: one change detector for each group of results; pure, fed visit by visit.

Results are grouped by probe and relation (or node pair). A group's series is one value an hour: the median
of the hour's sound visits, since the detector's error rates hold for some two dozen visits a day
(docs/drift.md), and visits come in bursts.

Every group adds to the false alarms of its host, so what is watched is little on purpose: lines between
CPUs and memory from nodes, each in its first variant, which is what hardware and firmware decide. The rest
follows from these, or from software.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any, Final

from toposcope.measure.drift import Detector, DriftEvent
from toposcope.measure.drift import Visit as Hour
from toposcope.results import Identity, Visit

_SECONDS_PER_HOUR: Final = 3600
# What is watched; a probe's first variant stands for the others (model=thread, home=first, pages=base).
_WATCHED: Final = {
    "cacheline_cas": {"model": "thread", "home": "first"},
    "memory_latency": {"pages": "base"},
}
# With more groups a host would see more than one false event a year (docs/drift.md).
GROUPS_MAX: Final = 13
# A group counts as drifted for this long after its change; by then the new value is the baseline.
DRIFTED_S: Final = 7 * 86_400


@dataclass(slots=True)
class _Series:
    detector: Detector = field(default_factory=Detector)
    hour: int = 0
    estimates: list[float] = field(default_factory=list)
    variations: list[float] = field(default_factory=list)
    changed_s: float | None = None


class Watch:
    """All groups of one machine. A new one is made when the machine itself changed."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str, str], _Series] = {}

    def observe(self, identity: Identity, measure: str, visit: Visit) -> dict[str, Any] | None:
        """Take a visit, in order of time; the event where it closes an hour that proves a change."""
        if visit.verdict != "ok" or measure not in visit.measures or not _is_watched(identity):
            return None
        key = (identity.probe, _variant(identity), _where(identity))
        if key not in self._series and len(self._series) == GROUPS_MAX:
            return None
        series = self._series.setdefault(key, _Series())
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

    def drifted(self, now_s: float) -> dict[str, int]:
        """Groups that changed within the last week, counted by relation or node pair."""
        counts: dict[str, int] = {}
        for (_, _, where), series in self._series.items():
            if series.changed_s is not None and now_s - series.changed_s < DRIFTED_S:
                counts[where] = counts.get(where, 0) + 1
        return counts


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


def _document(key: tuple[str, str, str], measure: str, event: DriftEvent) -> dict[str, Any]:
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
