"""Results as a table in the terminal: readable at 80 columns, without colour, and piped."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from toposcope import units
from toposcope.render.terminal import show
from toposcope.results import Estimate, Result

_STYLES = {"ok": "green", "noisy": "yellow", "unstable": "magenta", "failed": "red", "not_applicable": "dim"}


def print_results(found: Iterable[Result], console: Console | None = None) -> None:
    """One row a result: target, variant, primary measure with its interval, verdict and reason."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("probe")
    table.add_column("target")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("verdict")
    reasons: list[str] = []
    for result in found:
        name = f"{result.identity.probe} {' '.join(result.identity.variant.values())}".strip()
        values = _values(result)
        for index, (value, interval) in enumerate(values):
            first = index == 0
            style = _STYLES[result.verdict]
            verdict = Text(result.verdict, style) if first else Text()
            table.add_row(name if first else "", _target(result) if first else "", value, interval, verdict)
        if result.reason:
            reasons.append(f"{name} {_target(result)}: {result.reason}")
    notes = [Padding(Text(reason, "dim"), (0, 0, 0, 2)) for reason in dict.fromkeys(reasons)]
    show(table, *notes, console=console)


def _target(result: Result) -> str:
    target = result.identity.target
    parts = [target.core_set or "-".join(map(str, target.cpus[:4]))]
    if target.node is not None:
        parts.append(f"node {target.node}")
    if result.identity.relation:
        parts.append(f"({result.identity.relation})")
    return " ".join(parts)


def _values(result: Result) -> list[tuple[str, str]]:
    """(value, interval) of the primary measure; one a mode where there are several."""
    if result.modes:
        return [
            (
                f"{units.format_value(result.primary, mode.value.estimate)} ({mode.share:.0%})",
                _interval(result, mode.value),
            )
            for mode in result.modes
        ]
    if result.primary in result.measures:
        estimate = result.measures[result.primary]
        return [(units.format_value(result.primary, estimate.estimate), _interval(result, estimate))]
    return [("–", "")]


def _interval(result: Result, estimate: Estimate) -> str:
    low, high = (units.format_value(result.primary, bound) for bound in (estimate.low, estimate.high))
    return f"{low} – {high}"
