"""Hosts against their peers and against their own past; pure.

Peers are hosts of one CPU model. A host is an outlier over a relation where it lies farther from its peers'
median than both a tenth and six times their usual spread (the median absolute deviation, scaled to a standard
deviation by 1.4826: Rousseeuw and Croux, "Alternatives to the Median Absolute Deviation", 1993).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from toposcope.fleet.hosts import Host, Level

PEERS_MIN: Final = 4
OUTLIER_RATIO_MIN: Final = 0.10
_SPREADS_MIN: Final = 6.0
CHANGE_RATIO_MIN: Final = 0.10


@dataclass(frozen=True, slots=True)
class Standing:
    """One host over one relation against the median of its peers (itself included)."""

    instance: str
    cpu_model: str
    relation: str
    estimate_ns: float
    median_ns: float
    spread_ns: float
    peers: int

    @property
    def ratio(self) -> float:
        """How many times its median peer's cost."""
        return self.estimate_ns / self.median_ns

    @property
    def is_outlier(self) -> bool:
        """Whether it stands out; never where there are too few peers to say."""
        distance_ns = abs(self.estimate_ns - self.median_ns)
        limit_ns = max(OUTLIER_RATIO_MIN * self.median_ns, _SPREADS_MIN * self.spread_ns)
        return self.peers >= PEERS_MIN and distance_ns > limit_ns


def standings(hosts: Iterable[Host]) -> list[Standing]:
    """Every host over every relation with a sound value; hosts without a CPU model have no peers."""
    by_model: dict[tuple[str, str], list[tuple[Host, Level]]] = {}
    for host in hosts:
        for relation, level in host.levels.items():
            by_model.setdefault((host.cpu_model or f"\0{host.instance}", relation), []).append((host, level))
    found: list[Standing] = []
    for (_, relation), members in by_model.items():
        values = [level.estimate_ns for _, level in members]
        median = statistics.median(values)
        spread = 1.4826 * statistics.median(abs(value - median) for value in values)
        found += [
            Standing(host.instance, host.cpu_model, relation, level.estimate_ns, median, spread, len(members))
            for host, level in members
        ]
    return found


def outliers(hosts: Iterable[Host]) -> list[Standing]:
    """Those that stand out, the farthest first."""
    found = [standing for standing in standings(hosts) if standing.is_outlier]
    return sorted(found, key=lambda standing: -max(standing.ratio, 1 / standing.ratio))


def too_few(hosts: Sequence[Host]) -> list[str]:
    """CPU models of fewer hosts than a comparison takes, so that nothing is said of them."""
    models = [host.cpu_model or "(unknown)" for host in hosts]
    return sorted({model for model in models if models.count(model) < PEERS_MIN})


@dataclass(frozen=True, slots=True)
class Change:
    """What is different on a host. `ratio` is now by then for costs, None for all else."""

    instance: str
    what: str
    before: str
    now: str
    ratio: float | None = None


def changes(before: Sequence[Host], now: Sequence[Host]) -> list[Change]:
    """What changed: hosts, topologies, and costs by a tenth and beyond both intervals; the greatest first."""
    then = {(host.job, host.instance): host for host in before}
    today = {(host.job, host.instance): host for host in now}
    found: list[Change] = []
    for key in sorted(then.keys() | today.keys()):
        if key not in then:
            found.append(Change(key[1], "host", "absent", "present"))
        elif key not in today:
            found.append(Change(key[1], "host", "present", "absent"))
        else:
            found += _changes_of_host(then[key], today[key])
    return sorted(found, key=lambda change: -max(change.ratio or 1, 1 / (change.ratio or 1)))


def _changes_of_host(before: Host, now: Host) -> Iterator[Change]:
    for name in ("cpu_model", "fingerprint", "mode"):
        old, new = getattr(before, name), getattr(now, name)
        if old != new:
            yield Change(now.instance, name, old, new)
    for relation, new in now.levels.items():
        old = before.levels.get(relation)
        if old is None:
            continue
        ratio = new.estimate_ns / old.estimate_ns
        apart = new.low_ns > old.high_ns or new.high_ns < old.low_ns
        if apart and max(ratio, 1 / ratio) > 1 + CHANGE_RATIO_MIN:
            yield Change(
                now.instance, relation, f"{old.estimate_ns:.3g} ns", f"{new.estimate_ns:.3g} ns", ratio
            )
