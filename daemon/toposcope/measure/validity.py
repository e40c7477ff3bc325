"""Is a number sound? Pure rules from a visit's checks, and from all visits of a target, to a verdict.

Every rule is one `if` and one sentence. Nothing is judged for being slow: that is the outcome.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from toposcope.measure import estimate as estimation
from toposcope.measure import modes as mode_finding
from toposcope.results import Estimate, Identity, Result, Verdict, Visit

# A visit that lost more of its batches than this describes what was left over, not the target.
KEPT_RATIO_MIN: Final = 0.5
# Frequency before and after: beyond this, the numbers belong to two different clocks.
FREQUENCY_CHANGE_MAX: Final = 0.10
# Batches in which a thread lost its CPU are dropped; a visit that spent more than this share of its time
# waiting for a CPU lost what goes on between the batches as well (warm caches, the clock's frequency).
RUN_DELAY_RATIO_MAX: Final = 0.5
# Relative half-width of the visit's interval beyond which it is called noisy.
INTERVAL_RATIO_MAX: Final = 0.15
# Spread of visits around their median (90th against 10th percentile, as a ratio of the median).
VISIT_SPREAD_MAX: Final = 0.20
# Visits that are judged together; older ones are history.
WINDOW_VISITS_MAX: Final = 64
STRAY_SHARE_MAX: Final = 0.2
# A result of which no more than this share of the latest visits was sound rests on a choice among them.
SOUND_SHARE_MIN: Final = 0.5
# From this many visits on a single-mode series counts as evidence that nothing moves.
STABLE_VISITS_MIN: Final = 10


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What went on around the visit: `steal_ms` between its start and end, `busy` CPUs before it.

    Source: steal in /proc/stat (proc(5)), in ticks of 10 ms as a rule: coarse, so any is too much.
    """

    steal_ms: float = 0.0
    busy: bool = False


def judge_visit(
    measures: Mapping[str, Estimate],
    primary: str,
    *,
    batches_kept: int,
    batches_dropped: Mapping[str, int],
    checks: Mapping[str, float],
    surroundings: Surroundings,
    duration_s: float,
    feels_load: bool,
) -> tuple[Verdict, str]:
    """The verdict on one visit whose program said `ok`, with its reason ("" for ok).

    `feels_load` as in the spec: there waiting is part of what is measured, and a busy CPU is a reason.
    """
    dropped = sum(batches_dropped.values())
    if primary not in measures:
        causes = _counted(batches_dropped) or "no reason given"
        return "failed", f"no batch was left of {batches_kept + dropped}: {causes}"
    if dropped > (1 - KEPT_RATIO_MIN) * (batches_kept + dropped):
        return (
            "noisy",
            f"{dropped} of {batches_kept + dropped} batches were dropped: {_counted(batches_dropped)}",
        )
    if surroundings.steal_ms > 0:
        return "noisy", f"the hypervisor took {surroundings.steal_ms:.0f} ms from these CPUs"
    if surroundings.busy and feels_load:
        return "noisy", "its CPUs were busy with other work, which is in the numbers"
    delay_s = checks.get("run_delay_ns", 0.0) / 1e9
    if delay_s > RUN_DELAY_RATIO_MAX * duration_s and not feels_load:
        return "noisy", f"a thread waited {delay_s / duration_s:.0%} of the visit for its CPU"
    frequency = checks.get("frequency_ratio", 1.0)
    if abs(frequency - 1) > FREQUENCY_CHANGE_MAX:
        return "noisy", f"the CPU ran {frequency:.2f} times as fast after the visit as before it"
    value = measures[primary]
    half_width = (value.high - value.low) / 2 / value.estimate if value.estimate > 0 else 0.0
    if half_width > INTERVAL_RATIO_MAX:
        return "noisy", f"the visit's interval is ±{half_width:.0%} of its estimate"
    return "ok", ""


def judge_result(identity: Identity, primary: str, visits: Sequence[Visit]) -> Result:
    """The result of a target from its visits in order of time (at least one)."""
    assert visits, "a result has visits"
    window = visits[-WINDOW_VISITS_MAX:]
    sound = [visit for visit in window if visit.verdict == "ok"]
    usable = sound or [visit for visit in window if visit.verdict == "noisy"]
    verdict, reason, found = _verdict(primary, window, sound, usable)
    last = usable[-1] if usable else window[-1]
    combined: dict[str, Estimate] = {}
    if verdict in ("ok", "noisy"):
        for name in last.measures:
            combined[name] = estimation.combine([v.measures[name] for v in usable if name in v.measures])
    return Result(
        identity=identity,
        primary=primary,
        verdict=verdict,
        reason=reason,
        measures=combined,
        modes=found.modes if found and verdict == "unstable" else (),
        switches_per_hour=found.switches_per_hour_at_least if found and verdict == "unstable" else None,
        visits=len(visits),
        first_time_s=visits[0].time_s,
        last_time_s=visits[-1].time_s,
        last_success_time_s=sound[-1].time_s if sound else None,
        duration_s=sum(visit.duration_s for visit in visits),
        batches_kept=sum(visit.batches_kept for visit in visits),
        batches_dropped=_sum_by_reason(visits),
        checks=last.checks,
        facts=last.facts,
    )


def _verdict(
    primary: str, window: Sequence[Visit], sound: Sequence[Visit], usable: Sequence[Visit]
) -> tuple[Verdict, str, mode_finding.Modes | None]:
    latest = window[-1]
    if latest.verdict == "not_applicable" or not usable:
        return latest.verdict, latest.reason, None
    series = [
        mode_finding.Observation(visit.time_s, visit.measures[primary])
        for visit in usable
        if primary in visit.measures
    ]
    found = mode_finding.find(series)
    if len(found.modes) > 1:
        listed = ", ".join(f"{mode.value.estimate:.3g} ({mode.share:.0%})" for mode in found.modes)
        return "unstable", f"{primary} keeps returning to {len(found.modes)} values: {listed}", found
    if not sound:
        return "noisy", latest.reason or usable[-1].reason, found
    recent = [visit for visit in window if visit.verdict in ("ok", "noisy")][-STABLE_VISITS_MIN:]
    noisy = [visit for visit in recent if visit.verdict == "noisy"]
    if len(recent) == STABLE_VISITS_MIN and len(noisy) >= (1 - SOUND_SHARE_MIN) * len(recent):
        return "noisy", f"{len(noisy)} of the latest {len(recent)} visits were: {noisy[-1].reason}", found
    if found.stray_share > STRAY_SHARE_MAX:
        return "noisy", f"{found.stray_share:.0%} of the visits lie far from all others", found
    values = sorted(seen.value for seen in series)
    middle = values[len(values) // 2]
    width = estimation.quantile(values, 0.9) - estimation.quantile(values, 0.1)
    spread = width / middle if middle > 0 else 0.0
    if spread > VISIT_SPREAD_MAX:
        return "noisy", f"{len(values)} visits spread over {spread:.0%} of their median", found
    return "ok", "", found


def _sum_by_reason(visits: Sequence[Visit]) -> dict[str, int]:
    total: dict[str, int] = {}
    for visit in visits:
        for reason, count in visit.batches_dropped.items():
            total[reason] = total.get(reason, 0) + count
    return total


def _counted(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(dropped.items()) if count)
