"""`toposcope capture`: the machine's description as a folder, to send and to test with."""

from __future__ import annotations

from pathlib import Path

import click

from toposcope.cli._output import format_option, print_json
from toposcope.topology.capture import RecordingRoot, capture
from toposcope.units import format_bytes


@click.command("capture")
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--sysroot", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR",
              default=Path("/"), help="Copy from a captured machine instead of this one.")  # fmt: skip
@format_option()
def command(directory: Path, sysroot: Path, output_format: str) -> None:
    """Copy just the files that discovery reads into DIR: no serial numbers, no host name."""
    done = capture(RecordingRoot(sysroot), directory)
    if output_format == "json":
        print_json({"schema_version": 1, "directory": str(directory), "file_count": done.file_count,
                    "size_bytes": done.size_bytes, "is_same": done.is_same})  # fmt: skip
        return
    click.echo(f"{done.file_count} files, {format_bytes(done.size_bytes)}, in {directory}")
    click.echo(f"look at it with: toposcope topology --sysroot {directory}")
    if not done.is_same:
        click.echo(
            "The copy does not read as the same machine: something changed while it was taken.", err=True
        )
