"""The daemon's state in the terminal: what it does, what it may spend, whether CPUs stay where they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from toposcope.topology.cpulist import format_cpulist
from toposcope.units import format_duration

_STYLES: Final = {"stable": "green", "unstable": "magenta", "unknown": "yellow"}


def status_text(status: Mapping[str, Any]) -> Table:
    """A table of two columns of what `/api/v1/status` says, with the `source` that said it."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column()
    for name, value in _rows(status):
        table.add_row(name, value if isinstance(value, Text) else Text(value))
    return table


def _rows(status: Mapping[str, Any]) -> Iterator[tuple[str, str | Text]]:
    yield "source", f"{status['source']} (mode: {status['mode']})"
    yield "placement", Text(status["placement"], _STYLES.get(status["placement"], ""))
    for pair in status.get("placement_evidence", {}).get("pairs", ()):
        yield "", pair["sentence"]
    yield "ready", "yes" if status["ready"] else "no"
    yield "measuring", status.get("measuring") or "nothing just now"
    yield "results", f"{status.get('results', 0)} of {status.get('tasks', 0)} targets in turn"
    if busy := status.get("busy_cpus"):
        yield "busy CPUs", f"{format_cpulist(busy)}, which are left alone for now"
    if pressure := status.get("cpu_pressure_ratio"):
        yield "CPU pressure", f"tasks waited for a CPU in {pressure:.0%} of the last 10 s"
    if postponed := status.get("postponed"):
        yield "postponed", f"{postponed} targets, until their CPUs are less busy"
    if waits := status.get("lock_waits"):
        yield "waited", f"{waits} times for another process that measured"
    if ignored := status.get("lock_ignored"):
        yield "not waited", f"{ignored} visits beside a process that keeps the measuring lock"
    uptime_s = status.get("uptime_s")
    if uptime_s is not None:
        yield "running for", format_duration(uptime_s)
    for name, budget in status.get("budget", {}).items():
        yield f"{name} budget", _budget(budget, "one CPU" if name == "cpu" else "the time", uptime_s)


def _budget(budget: Mapping[str, float], whole: str, uptime_s: float | None) -> str:
    """`1 % of one CPU: 12.01 s spent (0.41 %), 0.30 s to spend`."""
    limit, spent_s, balance_s = budget["ratio"], budget["spent_s"], budget["balance_s"]
    said = f"{100 * limit:.3g} % of {whole}: {spent_s:.2f} s spent"
    if uptime_s:
        said += f" ({100 * spent_s / uptime_s:.2g} %)"
    return said + (f", {balance_s:.2f} s to spend" if balance_s >= 0 else f", {-balance_s:.2f} s in debt")
