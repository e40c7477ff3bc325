"""`toposcope doctor`: what on this machine limits the measurements."""

from __future__ import annotations

from pathlib import Path

import click

from toposcope.cli._output import format_option, print_json
from toposcope.doctor import Limit, limits
from toposcope.errors import ToposcopeError
from toposcope.measure import runner
from toposcope.topology.load import load_machine
from toposcope.topology.sysfs import Root

_MARKS = {"fine": "ok ", "limits": "!! ", "unknown": "?  "}


@click.command()
@format_option()
@click.option("--sysroot", type=click.Path(path_type=Path), metavar="DIR", help="Look at a captured machine.")
def command(output_format: str, sysroot: Path | None) -> None:
    """Say what limits measuring here: quota, cpuset, hypervisor, frequency, permissions, settings.

    Nothing is changed. Exit status 1 where measuring is impossible, else 0.
    """
    machine = load_machine(sysroot)
    found = [_program(), *limits(machine, Root(sysroot or "/"))]
    if output_format == "json":
        mode = "live" if machine.is_this_system else "replay"
        print_json({"schema_version": 1, "mode": mode, "checks": found})
    else:
        for limit in found:
            click.echo(f"{_MARKS[limit.status]}{limit.name + ':':22}{limit.value}")
            if limit.meaning:
                click.echo(f"{'':25}{limit.meaning}")
    if found[0].status == "limits":
        raise click.exceptions.Exit(1)


def _program() -> Limit:
    try:
        return Limit("kernels", "fine", str(runner.kernels_path()), "")
    except ToposcopeError as error:
        return Limit("kernels", "limits", error.message, error.hint)
