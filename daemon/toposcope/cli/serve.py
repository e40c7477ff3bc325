"""`toposcope serve`: the daemon, or the replay of another machine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from toposcope import config, logs
from toposcope.errors import UsageError
from toposcope.matrix import Matrix
from toposcope.topology.model import Machine


@click.command()
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="Configuration file.")
@click.option("--sysroot", type=click.Path(path_type=Path), metavar="DIR", help="Replay a captured machine.")
@click.option("--topology", "topology_file", type=click.Path(path_type=Path), metavar="FILE",
              help="Replay the machine of this file.")  # fmt: skip
@click.option("--matrix", "matrix_file", type=click.Path(path_type=Path), metavar="FILE",
              help="Replay this matrix (CSV).")  # fmt: skip
@click.option("--nfd-dir", "nfd_directory", type=click.Path(path_type=Path), metavar="DIR",
              help="Write a feature file for node-feature-discovery there.")  # fmt: skip
def command(
    config_file: Path | None,
    sysroot: Path | None,
    topology_file: Path | None,
    matrix_file: Path | None,
    nfd_directory: Path | None,
) -> None:
    """Measure continuously, and serve metrics, API and page.

    With --sysroot, --topology or --matrix: measure nothing, keep nothing, and serve that machine instead.
    """
    settings = config.load(config_file) if config_file else config.Config()
    logs.set_up(settings.log)
    if sysroot or topology_file or matrix_file:
        if nfd_directory:
            raise UsageError("--nfd-dir labels this node, which a replay says nothing of")
        from toposcope import replay

        machine, matrix = replay.load(sysroot, topology_file, matrix_file)
        asyncio.run(_replay(settings, machine, matrix))
    else:
        asyncio.run(_measure(config_file, settings, nfd_directory))


async def _measure(config_file: Path | None, settings: config.Config, nfd_directory: Path | None) -> None:
    from toposcope.service import Service

    await Service(config_file, settings, nfd_directory=nfd_directory).run()


async def _replay(settings: config.Config, machine: Machine, matrix: Matrix | None) -> None:
    from toposcope.replay_service import ReplayService

    await ReplayService(settings, machine, matrix).run()
