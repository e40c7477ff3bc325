"""What the page's sections say, as rows of text and pictures for the templates; pure.

Nothing here is markup but the pictures, which escape what they are given; templates escape all the rest.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from markupsafe import Markup

from toposcope.groups import Group
from toposcope.page.history import mode_lines, points_of
from toposcope.render.bars_svg import Axis, Bar, mini_bar
from toposcope.render.history_svg import history_svg
from toposcope.render.scale import COLOURS, scale_of, text_class
from toposcope.results import Result, Verdict
from toposcope.units import format_value, split_unit
from toposcope.view import View

_BAR_PX: Final = 150
_UNSTABLE_MAX: Final = 6
_EVENT_CHARS_MAX: Final = 300
_HISTORY_MAX: Final = 80
_WORST_FIRST: Final[tuple[Verdict, ...]] = ("unstable", "failed", "noisy", "ok", "not_applicable")
PLACEMENTS: Final = {
    "stable": "CPUs stay where they are: repeated visits agree",
    "unstable": "something moves the CPUs (a hypervisor, as a rule): values come in several modes,"
    " and advice that would rest on them is withheld",
    "unknown": "too few visits yet to tell whether CPUs stay where they are",
    "replay": "a matrix of one time can't tell whether CPUs stay where they are",
}


# One claim as `report --format json` prints it.
ClaimDocument = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """One claim: what it says of this host, where the answer flips (by interpreter), and its bar."""

    name: str
    verdict: str
    numbers: str
    sentence: str
    reason: str
    flips: Sequence[tuple[str, Sequence[str]]]
    bar: Markup


@dataclass(frozen=True, slots=True)
class GroupRow:
    """Results with a relation in common."""

    probe: str
    variant: str
    relation: str
    results: int
    value: str
    interval: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of a table with the step of its colour."""

    text: str
    fill: str
    text_class: str


@dataclass(frozen=True, slots=True)
class NodeTable:
    """A probe's values by the node of the CPU (rows) and of the memory (columns)."""

    caption: str
    nodes: Sequence[int]
    rows: Sequence[tuple[int, Sequence[Cell | None]]]


def claim_bars(claims: Iterable[ClaimDocument]) -> list[Bar]:
    """The claims as bars, in their order."""
    bars = []
    for claim in claims:
        low, high = claim["interval"] or (None, None)
        threshold = claim["numbers"].get("threshold")
        bars.append(Bar(_words(claim["claim"]), claim["verdict"], claim["ratio"], low, high, threshold))
    return bars


def claim_rows(claims: Sequence[ClaimDocument]) -> list[ClaimRow]:
    """All claims; ratios with their interval, a bar each on one axis."""
    bars = claim_bars(claims)
    axis = Axis(bars, _BAR_PX)
    return [
        ClaimRow(
            name=bar.label,
            verdict=_words(claim["verdict"]),
            numbers=_ratio(bar),
            sentence=claim["sentence"],
            reason=claim["reason"],
            flips=[(name, told.get("says", ())) for name, told in claim["numbers"].get("flips", {}).items()],
            bar=Markup(mini_bar(bar, axis, _BAR_PX)) if bar.value is not None else Markup(),  # noqa: S704
        )
        for claim, bar in zip(claims, bars, strict=True)
    ]


def _ratio(bar: Bar) -> str:
    if bar.value is None:
        return "–"
    if bar.low is None or bar.high is None:
        return f"{bar.value:.3g}"
    return f"{bar.value:.3g} ({bar.low:.3g} to {bar.high:.3g})"


def _words(name: str) -> str:
    return name.replace("_", " ")


def group_rows(groups: Iterable[Group]) -> list[GroupRow]:
    """Groups of pairs by relation; one row a mode where they are unstable."""
    rows = []
    for group in groups:
        if group.key.relation is None or group.key.node is not None:
            continue
        for value, interval in _values(group):
            variant = " ".join(f"{key} {text}" for key, text in group.key.variant)
            relation = _words(group.key.relation)
            rows.append(
                GroupRow(group.key.probe, variant, relation, group.results, value, interval, group.verdict)
            )
    return rows


def _values(group: Group) -> list[tuple[str, str]]:
    measure = group.key.measure
    if group.verdict == "unstable":
        return [
            (f"{format_value(measure, mode.value.estimate)} in {mode.share:.0%} of visits", "")
            for mode in group.modes
        ] or [("–", "")]
    estimate = group.estimates.get(measure)
    if estimate is None:
        return [("–", "")]
    low, high = (format_value(measure, bound) for bound in (estimate.low, estimate.high))
    return [(format_value(measure, estimate.estimate), f"{low} to {high}")]


def node_tables(groups: Iterable[Group]) -> list[NodeTable]:
    """One table for each probe and variant that was measured between CPUs of a node and memory of a node."""
    found: dict[tuple[str, str, str], dict[tuple[int, int], float]] = {}
    for group in groups:
        key, estimate = group.key, group.estimates.get(group.key.measure)
        if key.node is None or key.cpu_node is None or estimate is None:
            continue
        variant = " ".join(f"{name} {text}" for name, text in key.variant)
        place = " ".join(part for part in (variant, key.core_set or "") if part)
        found.setdefault((key.probe, place, key.measure), {})[key.cpu_node, key.node] = estimate.estimate
    return [_node_table(*key, values) for key, values in found.items()]


def _node_table(probe: str, place: str, measure: str, values: Mapping[tuple[int, int], float]) -> NodeTable:
    nodes = sorted({node for pair in values for node in pair})
    scale = scale_of(values.values())

    def cell(row: int, column: int) -> Cell | None:
        value = values.get((row, column))
        if value is None or scale is None:
            return None
        step = scale.step(value)
        return Cell(format_value(measure, value), COLOURS[step], text_class(step))

    rows = [(row, [cell(row, column) for column in nodes]) for row in nodes]
    rows = [(row, cells) for row, cells in rows if any(cells)]
    name = f"{_words(probe)} {place}".strip()
    return NodeTable(f"{name}, {_words(split_unit(measure)[0])}", nodes, rows)


def unstable_plots(view: View) -> list[Markup]:
    """Visits over time of what keeps several values, the most often visited first."""
    unstable = [result for result in view.results if result.verdict == "unstable"]
    unstable.sort(key=lambda result: -result.visits)
    return [result_plot(result, view) for result in unstable[:_UNSTABLE_MAX]]


def result_plot(result: Result, view: View) -> Markup:
    """The visits that the view holds of one result, with its modes."""
    points = points_of(view.visits(result.identity.id), result.primary)
    plot = history_svg(points, result.identity.id, result.primary, mode_lines(result), standalone=False)
    return Markup(plot)  # noqa: S704 - the picture escapes its texts


def probe_rows(view: View) -> list[dict[str, Any]]:
    """What each probe did since the daemon's start, and the verdicts of its results."""
    verdicts: dict[str, dict[str, int]] = {}
    for result in view.results:
        counts = verdicts.setdefault(result.identity.probe, {})
        counts[result.verdict] = counts.get(result.verdict, 0) + 1
    rows = []
    for probe in sorted(verdicts.keys() | view.counts.keys()):
        counts_of = view.counts.get(probe)
        rows.append({
            "probe": probe,
            "verdicts": [(verdict, verdicts.get(probe, {})[verdict]) for verdict in _WORST_FIRST
                         if verdict in verdicts.get(probe, {})],
            "visits": sum(counts_of.visits_by_verdict.values()) if counts_of else 0,
            "dropped": sum(counts_of.batches_dropped.values()) if counts_of else 0,
            "kept": counts_of.batches_kept if counts_of else 0,
            "cpu_s": counts_of.cpu_s if counts_of else 0.0,
            "last": moment(counts_of.last_success_time_s) if counts_of else None,
        })  # fmt: skip
    return rows


def event_rows(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Events as time, kind and what they say, cut where that is long."""
    rows = []
    for event in events:
        rest = {key: value for key, value in event.items() if key not in ("id", "time_s", "kind")}
        said = ", ".join(f"{_words(key)}: {_said(value)}" for key, value in rest.items())
        said = said if len(said) <= _EVENT_CHARS_MAX else said[:_EVENT_CHARS_MAX] + "…"
        rows.append({"when": moment(event["time_s"]), "kind": _words(event["kind"]), "said": said})
    return rows


def _said(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def history_choices(view: View) -> list[tuple[str, str]]:
    """(id, label) of results whose history is worth a look: unstable ones, then one of each kind."""
    chosen: dict[str, str] = {}
    seen: set[tuple[object, ...]] = set()
    for result in sorted(view.results, key=lambda result: _WORST_FIRST.index(result.verdict)):
        identity = result.identity
        kind = (
            identity.probe,
            identity.relation,
            identity.target.core_set,
            *sorted(identity.variant.items()),
        )
        if len(chosen) >= _HISTORY_MAX or result.verdict == "not_applicable":
            break
        if result.verdict == "unstable" or kind not in seen:
            seen.add(kind)
            chosen[identity.id] = f"{identity.id} ({_words(result.verdict)})"
    return sorted(chosen.items())


def moment(time_s: float | None) -> dict[str, Any] | None:
    """A time as the template shows it: seconds for scripts, UTC for people."""
    if time_s is None:
        return None
    when = datetime.datetime.fromtimestamp(time_s, datetime.UTC)
    return {"time_s": time_s, "iso": when.isoformat(), "text": when.strftime("%Y-%m-%d %H:%M:%S UTC")}
