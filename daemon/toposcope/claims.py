"""The fourteen claims of the report: from what was measured on this host to a verdict each; pure.

A claim compares two sides, and its ratio says how much better the side comes off that the claim favours:
above the claim's threshold it holds. `confirmed`: all of the ratio's interval (claims_pairs) is above the
threshold; `refuted`: all of it is below; `inconclusive`: it holds the threshold, or the host was too busy to
tell. A verdict that more visits might overturn is not settled, and the report goes on visiting.

Most claims have several cases: native code, and each Python that was measured. One refuted case refutes the
claim, since it is a general one; else one confirmed case confirms it. docs/claims.md has the list for people.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from toposcope.claims_core_sets import NO_TWO_CORE_SETS, farthest_apart
from toposcope.claims_flips import flips
from toposcope.claims_pairs import PAIRS_MAX, Paired, paired_difference, paired_ratio
from toposcope.claims_table import COMPARISONS, NAMES, Comparison, Side
from toposcope.judgements import ClaimVerdict
from toposcope.results import Estimate, Identity, Visit
from toposcope.topology.model import Machine
from toposcope.units import format_ns, split_unit

# The reason of claims that miss visits since the report had to end.
TIME_WAS_UP: Final = "the report's time was up"
# Of the gain that N workers could bring at best: less than this share of it is not "in parallel".
_PARALLEL_SHARE: Final = 0.3
# What every case says about who was measured.
_WHO: Final = ("implementation", "version", "gil", "start_method", "libraries")


@dataclass(frozen=True, slots=True)
class Series:
    """All visits of one result, in order of time."""

    identity: Identity
    visits: Sequence[Visit]


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim as it stands on this host; what `report --format json` prints.

    `ratio` and `interval` are those of the case that decided. `numbers` has `threshold`, `meaning` (of the
    ratio) and `cases`: by case its verdict, ratio, interval, pairs and the medians of both sides. A claim is
    settled where no case's verdict hangs on a few more visits, or one that doesn't refutes it.
    """

    claim: str
    verdict: ClaimVerdict
    ratio: float | None
    interval: tuple[float, float] | None
    sentence: str
    numbers: Mapping[str, Any]
    reason: str
    is_settled: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    """A claim in one setting: native code, or one interpreter."""

    name: str
    verdict: ClaimVerdict
    sentence: str = ""
    reason: str = ""
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    threshold: float | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_settled(self) -> bool:
        """Whether the threshold lies outside the interval by half the interval's width, or there is none."""
        if self.interval is None or self.threshold is None:
            return True
        low, high = self.interval
        margin = (high - low) / 2
        return self.verdict != "inconclusive" and not low - margin <= self.threshold <= high + margin


def judge(series: Iterable[Series], machine: Machine) -> tuple[Claim, ...]:
    """Every claim of DESIGN section 6, in its order; what was not measured is `not_applicable`."""
    table = tuple(series)
    return tuple(_judge_one(name, table, machine) for name in NAMES)


def _judge_one(name: str, table: Sequence[Series], machine: Machine) -> Claim:
    claim = _combine(name, list(_cases(name, table, machine)))
    where = flips(name, [(one.identity, one.visits) for one in table])
    return replace(claim, numbers={**claim.numbers, "flips": where}) if where else claim


def _cases(name: str, table: Sequence[Series], machine: Machine) -> Iterable[Case]:
    for comparison in COMPARISONS:
        if comparison.claim != name:
            continue
        if comparison.core_sets:
            yield _on_core_sets(comparison, table, machine)
            continue
        for interpreter, own in _by_interpreter(comparison, table):
            case = comparison.setting
            if interpreter is not None:
                case = f"{case} {_named(interpreter, own)}"
            yield _compare(comparison, case.strip(), own)


def _named(interpreter: str, table: Sequence[Series]) -> str:
    """`/usr/bin/python3 (CPython 3.13.5, no GIL)`; the path alone where none of its programs ran."""
    for one in table:
        for visit in one.visits:
            if "version" in visit.facts:
                gil = "a GIL" if visit.facts["gil"] == "enabled" else "no GIL"
                return f"{interpreter} ({visit.facts['implementation']} {visit.facts['version']}, {gil})"
    return interpreter


def _combine(name: str, cases: Sequence[Case]) -> Claim:
    meaning = next(comparison.meaning for comparison in COMPARISONS if comparison.claim == name)
    ranked = sorted(cases, key=lambda case: _DECIDES.index(case.verdict))
    if not ranked:
        reason = "not measured"
        return Claim(
            name, "not_applicable", None, None, f"Not {reason[4:]} here.", {"meaning": meaning}, reason
        )
    decided = ranked[0]
    numbers = {
        "meaning": meaning,
        "threshold": decided.threshold,
        "cases": {case.name: _case_to_json(case) for case in cases},
    }
    others = [f"{case.name}: {case.verdict}" for case in cases if case.verdict != decided.verdict]
    reason = "; ".join(part for part in (decided.reason, *others) if part)
    sentence = decided.sentence or f"Not applicable here: {decided.reason}."
    is_settled = all(case.is_settled for case in cases) or any(
        case.is_settled and case.verdict == "refuted" for case in cases
    )
    return Claim(
        name, decided.verdict, decided.ratio, decided.interval, sentence, numbers, reason, is_settled
    )


_DECIDES: Final[tuple[ClaimVerdict, ...]] = ("refuted", "confirmed", "inconclusive", "not_applicable")


def _case_to_json(case: Case) -> dict[str, Any]:
    return {
        "verdict": case.verdict,
        "ratio": case.ratio,
        "interval": list(case.interval) if case.interval else None,
        "threshold": case.threshold,
        "reason": case.reason,
        **case.numbers,
    }


# -- Choosing what to compare --------------------------------------------------------------------------


def _by_interpreter(
    comparison: Comparison, table: Sequence[Series]
) -> Iterable[tuple[str | None, Sequence[Series]]]:
    """The measured series of a comparison's probe, apart for each interpreter (None: native code).

    Of several targets (CPUs, pairs) the one with most series speaks, so that both sides are of one.
    """
    targets: dict[str | None, dict[str, list[Series]]] = {}
    for one in table:
        if one.identity.probe == comparison.probe:
            target = one.identity.target
            targets.setdefault(target.interpreter, {}).setdefault(target.key, []).append(one)
    return [(interpreter, max(found.values(), key=len)) for interpreter, found in targets.items()]


def _best(side: Side, table: Sequence[Series], measure: str, core_set: str | None) -> _Chosen | str:
    """The series of a side that comes off best, or the reason why there is none."""
    found: list[_Chosen] = []
    reasons: list[str] = []
    for one in table:
        identity = one.identity
        if not any(_matches(identity.variant, wanted) for wanted in side.variants):
            continue
        if core_set is not None and identity.target.core_set != core_set:
            continue
        visits = [visit for visit in one.visits if _counts(visit, measure)][-PAIRS_MAX:]
        if visits:
            found.append(
                _Chosen(identity.id, [visit.measures[measure] for visit in visits], visits[-1].facts)
            )
        elif one.visits:
            reasons.append(one.visits[-1].reason or "not measured")
    if not found:
        return f"{side.label}: {reasons[0] if reasons else 'not measured'}"
    return (max if _higher_is_better(measure) else min)(found, key=lambda chosen: chosen.middle)


def _higher_is_better(measure: str) -> bool:
    """Rates and ratios; everything else that is compared here is a cost."""
    return split_unit(measure)[1] in ("per_s", "bytes_per_s", "ratio")


def _matches(variant: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(variant.get(key) == value for key, value in wanted.items())


def _counts(visit: Visit, measure: str) -> bool:
    return visit.verdict in ("ok", "noisy") and measure in visit.measures


@dataclass(frozen=True, slots=True)
class _Chosen:
    result_id: str
    values: Sequence[Estimate]
    facts: Mapping[str, Any]

    @property
    def middle(self) -> float:
        return statistics.median(value.estimate for value in self.values)


# -- Comparing -----------------------------------------------------------------------------------------


def _compare(
    comparison: Comparison,
    case: str,
    table: Sequence[Series],
    core_sets: tuple[str | None, str | None] = (None, None),
) -> Case:
    favoured = _best(comparison.favoured, table, comparison.measure, core_sets[0])
    other = _best(comparison.other, table, comparison.measure, core_sets[1])
    if isinstance(favoured, str):
        return Case(case, "not_applicable", reason=favoured)
    if isinstance(other, str):
        return Case(case, "not_applicable", reason=other)
    ratio, interval, pairs = _measured_ratio(comparison, favoured, other)
    threshold, reason = comparison.threshold, ""
    if comparison.control is not None:
        workers = int(favoured.facts.get("workers", 1))
        if workers < 2:
            return Case(case, "not_applicable", reason="one CPU: nothing can run in parallel")
        threshold = 1 + _PARALLEL_SHARE * (workers - 1)
    verdict = _verdict(interval, threshold)
    if comparison.control is not None and verdict != "confirmed":
        verdict, reason = _unless_busy(comparison, comparison.control, table, threshold, verdict)
    numbers = {
        "pairs": pairs,
        "measure": comparison.measure,
        comparison.favoured.label: favoured.middle,
        comparison.other.label: other.middle,
        "measured_with": {
            comparison.favoured.label: _who(favoured.facts),
            comparison.other.label: _who(other.facts),
        },
        "also": _also(comparison, table, {favoured.result_id, other.result_id}),
    }
    sentence = _sentence(comparison, case, favoured.middle, other.middle, ratio, interval)
    if comparison.beside is not None:
        measure, name = comparison.beside
        numbers[measure] = beside = _middles(comparison, table, measure)
        told = ", ".join(f"{label} {_say(value, split_unit(measure)[1])}" for label, value in beside.items())
        sentence += f" Their {name}: {told or 'not measured'}."
    return Case(case, verdict, sentence, reason, ratio, interval, threshold, numbers)


def _middles(comparison: Comparison, table: Sequence[Series], measure: str) -> dict[str, float]:
    """What both sides came to by another measure, by label."""
    sides = (comparison.favoured, comparison.other)
    seen = {side.label: _best(side, table, measure, None) for side in sides}
    return {label: chosen.middle for label, chosen in seen.items() if not isinstance(chosen, str)}


def _who(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in _WHO if name in facts}


def _measured_ratio(comparison: Comparison, favoured: _Chosen, other: _Chosen) -> Paired:
    if comparison.difference:
        return paired_difference(favoured.values, other.values)
    if _higher_is_better(comparison.measure):
        return paired_ratio(favoured.values, other.values)
    return paired_ratio(other.values, favoured.values)


def _verdict(interval: tuple[float, float], threshold: float) -> ClaimVerdict:
    if interval[0] > threshold:
        return "confirmed"
    return "refuted" if interval[1] < threshold else "inconclusive"


def _unless_busy(
    comparison: Comparison, control: Side, table: Sequence[Series], threshold: float, verdict: ClaimVerdict
) -> tuple[ClaimVerdict, str]:
    """Inconclusive where not even the control ran in parallel: then the CPUs were taken by others."""
    seen = _best(control, table, comparison.measure, None)
    if isinstance(seen, str):
        return "inconclusive", seen
    if seen.middle < threshold:
        how_many = f"of {control.label} only {seen.middle:.2f} ran at once"
        return "inconclusive", f"the CPUs were not free: {how_many}"
    return verdict, ""


def _also(comparison: Comparison, table: Sequence[Series], compared: set[str]) -> dict[str, float]:
    """What else that probe measured, by variant and core set: for the reader, not the verdict."""
    found: dict[str, float] = {}
    for one in table:
        values = [
            v.measures[comparison.measure].estimate for v in one.visits if _counts(v, comparison.measure)
        ]
        if values and one.identity.probe == comparison.probe and one.identity.id not in compared:
            words = [f"{key}={value}" for key, value in sorted(one.identity.variant.items())]
            words += [one.identity.target.core_set] if one.identity.target.core_set else []
            found[" ".join(words)] = statistics.median(values)
    return found


# -- Core sets -----------------------------------------------------------------------------------------


def _on_core_sets(comparison: Comparison, table: Sequence[Series], machine: Machine) -> Case:
    """Both sides on the largest compact set, or compact against spread sets of one size."""
    own = [one for one in table if one.identity.probe == comparison.probe]
    members = {
        one.identity.target.core_set: one.identity.target.cpus for one in own if one.identity.target.core_set
    }
    sizes = sorted({int(name.partition(":")[2]) for name in members if name.startswith("compact:")})
    if comparison.core_sets == "largest":
        if not sizes:
            return Case(comparison.setting, "not_applicable", reason="not measured")
        name = f"compact:{sizes[-1]}"
        return _compare(comparison, f"{comparison.setting} on {name}", own, (name, name))
    chosen = farthest_apart(machine, members, sizes)
    if chosen is None:
        reason = NO_TWO_CORE_SETS if own else "not measured"
        return Case(comparison.setting, "not_applicable", reason=reason)
    near, far = f"compact:{chosen.size}", f"spread:{chosen.size}"
    case = f"{comparison.setting}, {chosen.size} CPUs: {chosen.near} against {chosen.far}"
    return _compare(comparison, case, own, (near, far) if comparison.favours_near else (far, near))


# -- Words ---------------------------------------------------------------------------------------------


def _sentence(
    comparison: Comparison,
    case: str,
    favoured: float,
    other: float,
    ratio: float,
    interval: tuple[float, float],
) -> str:
    unit = split_unit(comparison.measure)[1]
    low, high = interval
    return (
        f"{comparison.subject} ({case}): {comparison.favoured.label} {_say(favoured, unit)}, "
        f"{comparison.other.label} {_say(other, unit)}; {comparison.meaning} is {ratio:.3g} "
        f"(95 % interval {low:.3g} to {high:.3g})."
    )


def _say(value: float, unit: str) -> str:
    if unit == "ns":
        return format_ns(value)
    if unit == "bytes":
        scaled, name = (value / 2**20, "MiB") if value >= 2**20 else (value / 2**10, "KiB")
        return f"{scaled:.3g} {name}"
    return f"{value:,.0f}/s" if unit == "per_s" else f"{value:.2f}"
