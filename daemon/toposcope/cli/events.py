"""`toposcope events`: what changed."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import click

from toposcope.cli import _source
from toposcope.cli._output import format_option, print_json
from toposcope.store import Store


@click.command()
@_source.url_option
@_source.config_option
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many.")
@format_option()
def command(url: str | None, config_file: Path | None, limit: int, output_format: str) -> None:
    """What changed: topology, configuration, drift. Newest first."""
    daemon = _source.find_daemon(url)
    if daemon is not None:
        found, source = daemon.get("/api/v1/events", limit=str(limit))["events"], daemon.url
    else:
        directory = _source.own_store(_source.settings_from(config_file))
        with Store(directory, writer=False) as store:
            found, source = store.events(limit), str(directory)
    if output_format == "json":
        print_json({"schema_version": 1, "source": source, "events": found})
        return
    for event in found:
        click.echo(_line(event))
    if not found:
        click.echo(f"no event yet; source: {source}")


def _line(event: dict[str, Any]) -> str:
    rest = {key: value for key, value in event.items() if key not in ("id", "time_s", "kind")}
    time = datetime.datetime.fromtimestamp(event["time_s"]).astimezone()
    details = "  ".join(f"{key}={value}" for key, value in rest.items())
    return f"{time:%Y-%m-%d %H:%M:%S%z}  {event['kind']:20}  {details}"
