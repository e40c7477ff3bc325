"""`toposcope check-config`: is this configuration file all right?"""

from __future__ import annotations

from pathlib import Path

import click

from toposcope import config
from toposcope.cli._output import format_option, print_json


@click.command()
@click.argument("config_file", type=click.Path(path_type=Path), metavar="FILE")
@format_option()
def command(config_file: Path, output_format: str) -> None:
    """Validate a configuration file, and the web configuration that it names.

    Exit status 0 if it is valid, else 2 with one sentence.
    """
    settings = config.load(config_file)
    if settings.web.config_file is not None:
        from toposcope.web_access import Access

        Access(Path(settings.web.config_file))
    if output_format == "json":
        print_json({"valid": True, "config": settings})
    else:
        click.echo(f"{config_file} is valid")
