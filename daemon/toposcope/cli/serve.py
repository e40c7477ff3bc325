"""`toposcope serve`: the daemon."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from toposcope import config, logs


@click.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")
def command(config_file: Path | None) -> None:
    """Measure continuously, and serve metrics, API and page."""
    settings = config.load(config_file) if config_file else config.Config()
    logs.set_up(settings.log)
    asyncio.run(_run(config_file, settings))


async def _run(config_file: Path | None, settings: config.Config) -> None:
    from toposcope.service import Service

    await Service(config_file, settings).run()
