"""`toposcope status`: what the daemon does now."""

from __future__ import annotations

import time
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from toposcope.cli import _source
from toposcope.cli._output import format_option, print_json
from toposcope.errors import DaemonError
from toposcope.render.status_text import status_text
from toposcope.render.terminal import show

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

    def status() -> dict[str, Any]:
        return daemon.get("/api/v1/status") | {"source": daemon.url}

    console = Console(highlight=False)
    if watch and output_format == "text" and console.is_terminal:
        # In place, on a screen of its own that is gone afterwards; a pipe gets one block after the other.
        with Live(status_text(status()), console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(_WATCH_INTERVAL_S)
                live.update(status_text(status()), refresh=True)
    while True:
        if output_format == "json":
            print_json(status())
        else:
            show(status_text(status()), *([""] if watch else []))
        if not watch:
            return
        time.sleep(_WATCH_INTERVAL_S)
