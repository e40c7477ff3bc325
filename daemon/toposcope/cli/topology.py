"""`toposcope topology`: what the machine is."""

from __future__ import annotations

import time
from pathlib import Path

import click

from toposcope.cli._output import format_option, print_json
from toposcope.topology.document import to_document
from toposcope.topology.load import load_machine


@click.command("topology")
@format_option("svg")
@click.option("--sysroot", type=click.Path(path_type=Path), metavar="DIR",
              help="Read a captured machine below DIR instead of this one.")  # fmt: skip
@click.option("--topology", "topology_file", type=click.Path(path_type=Path), metavar="FILE",
              help="Show the machine of a file that `topology --format json` wrote.")  # fmt: skip
def command(output_format: str, sysroot: Path | None, topology_file: Path | None) -> None:
    """Show packages, dies, nodes, caches, cores and CPUs, and what this process may use."""
    begin_s = time.monotonic()
    machine = load_machine(sysroot, topology_file)
    duration_s = None if topology_file else time.monotonic() - begin_s
    if output_format == "json":
        print_json(to_document(machine, duration_s))
    elif output_format == "svg":
        from toposcope.render.topology_svg import topology_svg

        click.echo(topology_svg(machine), nl=False)
    else:
        from toposcope.render.topology_text import print_topology

        print_topology(machine)
