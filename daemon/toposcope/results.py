"""What is known of one target: visits as they came, and the result that is judged from them.

These are values without behaviour; the JSON, metric and text forms are made at the rim (see `to_json`,
the one form that `measure --format json`, the HTTP API and `export` share).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

SCHEMA_VERSION: Final = 1

Verdict = Literal["ok", "noisy", "unstable", "not_applicable", "failed"]
VERDICTS: Final[tuple[Verdict, ...]] = ("ok", "noisy", "unstable", "not_applicable", "failed")


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a measurement is about. `cpus` in the order in which their roles are (first end, second end)."""

    cpus: tuple[int, ...]
    node: int | None = None
    core_set: str | None = None
    interpreter: str | None = None

    @property
    def key(self) -> str:
        """A short text that is the same for the same target: `cpus=0,1` or `cpus=0,1;node=0`."""
        parts = ["cpus=" + ",".join(map(str, self.cpus))]
        if self.node is not None:
            parts.append(f"node={self.node}")
        if self.core_set is not None:
            parts.append(f"core_set={self.core_set}")
        if self.interpreter is not None:
            parts.append(f"interpreter={self.interpreter}")
        return ";".join(parts)


class Estimate(msgspec.Struct, frozen=True):
    """One measure of one visit, or of several visits, in the measure's own unit.

    `low` and `high` bound the 95 % interval of `estimate`; `line_spread` is the distance between the
    10th and 90th percentile of the groups' own values (lines of memory differ on one and the same pair).
    """

    estimate: float
    min: float
    median: float
    p90: float
    low: float
    high: float
    line_spread: float


class Mode(msgspec.Struct, frozen=True):
    """One of several values that a target keeps returning to; `value` combines this mode's visits."""

    value: Estimate
    share: float
    visits: int
    last_seen_s: float


class Visit(msgspec.Struct, frozen=True):
    """One short measurement of a target at one time.

    `time_s` is the wall clock at its end, `duration_s` the runner's monotonic clock from exec to reap.
    """

    time_s: float
    duration_s: float
    verdict: Verdict
    reason: str
    measures: dict[str, Estimate]
    batches_kept: int = 0
    batches_dropped: dict[str, int] = {}
    checks: dict[str, float] = {}
    facts: dict[str, Any] = {}
    busy: bool = False


class Identity(msgspec.Struct, frozen=True):
    """What makes a result this result; `relation` and `node_distance` are facts about its target."""

    probe: str
    target: Target
    variant: dict[str, str]
    relation: str | None = None
    node_distance: int | None = None

    @property
    def id(self) -> str:
        """Readable, stable, unique on one machine: `cacheline_cas/cpus=0,1/model=thread`."""
        variant = ";".join(f"{key}={value}" for key, value in sorted(self.variant.items()))
        return "/".join(part for part in (self.probe, self.target.key, variant) if part)


class Result(msgspec.Struct, frozen=True):
    """All visits of a target, judged together.

    `primary` names the measure that the verdict is about; `modes` belong to it. `measures` is empty for
    verdicts that publish no value; for `unstable` it describes the latest visit and is never published
    as the result's value.
    """

    identity: Identity
    primary: str
    verdict: Verdict
    reason: str
    measures: dict[str, Estimate]
    modes: tuple[Mode, ...] = ()
    switches_per_hour: float | None = None
    visits: int = 0
    first_time_s: float = 0.0
    last_time_s: float = 0.0
    last_success_time_s: float | None = None
    duration_s: float = 0.0
    batches_kept: int = 0
    batches_dropped: dict[str, int] = {}
    checks: dict[str, float] = {}
    facts: dict[str, Any] = {}
    stale_reason: str = ""


def to_json(result: Result) -> dict[str, Any]:
    """The fixed JSON form (DESIGN section 5): measures spread out as `latency_ns_estimate` and so on."""
    identity = result.identity
    document: dict[str, Any] = {
        "id": identity.id,
        "probe": identity.probe,
        "target": msgspec.to_builtins(identity.target),
        "variant": dict(sorted(identity.variant.items())),
        "relation": identity.relation,
        "node_distance": identity.node_distance,
        "verdict": result.verdict,
        "reason": result.reason,
    }
    if result.verdict in ("ok", "noisy"):
        for name, estimate in result.measures.items():
            document.update(_spread_out(name, estimate))
    if result.modes:
        document["modes"] = [_mode_to_json(mode) for mode in result.modes]
        document["mode_measure"] = result.primary
        document["switches_per_hour_at_least"] = result.switches_per_hour
    document |= {
        "batches_kept": result.batches_kept,
        "batches_dropped": dict(result.batches_dropped),
        "visits": result.visits,
        "duration_s": result.duration_s,
        "first_time_s": result.first_time_s,
        "last_time_s": result.last_time_s,
        "checks": dict(result.checks),
        "facts": dict(result.facts),
    }
    if result.stale_reason:
        document["stale_reason"] = result.stale_reason
    return document


def _mode_to_json(mode: Mode) -> dict[str, Any]:
    rest = {"share": mode.share, "visits": mode.visits, "last_seen_s": mode.last_seen_s}
    return msgspec.to_builtins(mode.value) | rest  # type: ignore[no-any-return]


def _spread_out(name: str, estimate: Estimate) -> Mapping[str, float]:
    return {f"{name}_{stat}": getattr(estimate, stat) for stat in Estimate.__struct_fields__}
