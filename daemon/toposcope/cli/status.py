"""`toposcope status`: what the daemon does now."""

from __future__ import annotations

import time
from typing import Any

import click

from toposcope.cli import _source
from toposcope.cli._output import format_option, print_json
from toposcope.errors import DaemonError

_WATCH_INTERVAL_S = 2.0


@click.command()
@_source.url_option
@format_option()
@click.option("--watch", is_flag=True, help="Show it again every two seconds until Ctrl-C.")
def command(url: str | None, output_format: str, watch: bool) -> None:
    """What the daemon does now: placement, budget, what it is measuring."""
    daemon = _source.find_daemon(url)
    if daemon is None:
        raise DaemonError("no daemon runs at the default address", "start one with `toposcope serve`")
    while True:
        status = daemon.get("/api/v1/status") | {"source": daemon.url}
        if output_format == "json":
            print_json(status)
        else:
            if watch:
                click.clear()
            _print_text(status)
        if not watch:
            return
        time.sleep(_WATCH_INTERVAL_S)


def _print_text(status: dict[str, Any]) -> None:
    lines = [
        ("source", f"{status['source']} (mode: {status['mode']})"),
        ("placement", status["placement"]),
        ("ready", "yes" if status["ready"] else "no"),
        ("measuring", status.get("measuring") or "nothing just now"),
        ("targets", status.get("tasks", 0)),
        ("results", status.get("results", 0)),
        ("running for", f"{status.get('uptime_s', 0):.0f} s"),
    ]
    for name, budget in status.get("budget", {}).items():
        spent = f"{budget['spent_s']:.2f} s spent, {budget['balance_s']:+.2f} s left"
        lines.append((f"{name} budget", f"{budget['ratio']:.2%} of one CPU; {spent}"))
    for name, value in lines:
        click.echo(f"{name + ':':20}{value}")
