"""`toposcope matrix`: the CPU × CPU matrix, from a file, a daemon, the own store, or measured now."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console

import toposcope_probes
from toposcope import matrix as matrices
from toposcope import replay, results
from toposcope.cli import _measuring, _partial, _source
from toposcope.cli._output import format_option, print_json
from toposcope.config import store_directory
from toposcope.errors import StoreError, UsageError
from toposcope.evidence import has_cells
from toposcope.matrix import Matrix
from toposcope.measure.plan import MATRIX_PROBE, matrix_tasks
from toposcope.measure.validity import WINDOW_VISITS_MAX
from toposcope.render.matrix_unit import for_people, scaled
from toposcope.store import Store
from toposcope.topology.document import from_document
from toposcope.topology.fingerprint import fingerprint
from toposcope.topology.model import Machine
from toposcope.view import View
from toposcope_probes.contract import ProbeSpec, TargetKind


@click.command()
@click.argument("probe", default=MATRIX_PROBE)
@format_option("csv", "svg")
@_source.url_option
@_source.config_option
@_source.replay_options
@click.option("--measure", "measure_now", is_flag=True, help="Measure every pair now, whatever is known.")
@click.option("--cpus", metavar="LIST", help="Only these CPUs.")
@click.option("--afresh", is_flag=True, help="Measure also what a run that broke off has measured.")
def command(
    *,
    probe: str,
    output_format: str,
    url: str | None,
    config_file: Path | None,
    sysroot: Path | None,
    topology_file: Path | None,
    matrix_file: Path | None,
    measure_now: bool,
    cpus: str | None,
    afresh: bool,
) -> None:
    """Show what PROBE found between each pair of CPUs (cacheline_cas unless named: ns one way).

    Where pairs are measured, Ctrl-C shows those that there are (exit status 130), and calling it again within
    a day goes on with the others.
    """
    spec = _pair_probe(probe)
    if sysroot or topology_file or matrix_file:
        answer = _Answer.replayed(*replay.load(sysroot, topology_file, matrix_file), str(matrix_file))
    elif measure_now or afresh:
        answer = _measured(spec, config_file, cpus, afresh=afresh)
    else:
        answer = _known(spec, url, config_file, cpus) or _measured(spec, config_file, cpus, afresh=False)
    if cpus is not None:
        answer = answer.only(cpus)
    answer.show(spec, output_format)
    if answer.interrupted:
        sys.exit(130)


class _Answer:
    """A matrix, the machine it belongs to, and where it came from."""

    def __init__(
        self, matrix: Matrix, machine: Machine | None, source: str, mode: str, *, interrupted: bool = False
    ) -> None:
        self.matrix = matrix
        self.machine = machine
        self.source = source
        self.mode = mode
        self.interrupted = interrupted

    @classmethod
    def replayed(cls, machine: Machine, matrix: Matrix | None, source: str) -> _Answer:
        """A matrix from a file; without one, a machine has no results to show."""
        if matrix is None:
            raise UsageError("a replayed machine has no results of its own", "add --matrix FILE.csv")
        return cls(matrix, machine, source, "replay")

    def only(self, cpus: str) -> _Answer:
        """The part of the matrix that is about some CPUs."""
        from toposcope.topology.cpulist import parse_cpulist

        wanted = set(parse_cpulist(cpus))
        kept = [index for index, cpu in enumerate(self.matrix.cpus) if cpu in wanted]
        cells = tuple(tuple(self.matrix.cells[row][column] for column in kept) for row in kept)
        ids = tuple(self.matrix.cpus[index] for index in kept)
        return _Answer(Matrix(ids, cells), self.machine, self.source, self.mode, interrupted=self.interrupted)

    def show(self, spec: ProbeSpec, output_format: str) -> None:
        """Print it."""
        if output_format == "csv":
            click.echo(matrices.format_csv(self.matrix), nl=False)
        elif output_format == "json":
            print_json(self._document(spec))
        else:
            self._show_to_people(spec, output_format)

    def _show_to_people(self, spec: ProbeSpec, output_format: str) -> None:
        factor, measured_in = for_people(spec.measures[0].name)
        shown = scaled(self.matrix, factor)
        if output_format == "svg":
            from toposcope.render.matrix_svg import matrix_svg

            picture = matrix_svg(shown, self.machine, spec.operation, self.mode, measured_in=measured_in)
            click.echo(picture, nl=False)
        else:
            from toposcope.render.matrix_text import print_matrix

            print_matrix(shown, self.machine, unit=measured_in.partition(" ")[0])
            click.echo(f"{spec.operation}, {measured_in}")
            click.echo(f"source: {self.source}; mode: {self.mode}")

    def _document(self, spec: ProbeSpec) -> dict[str, Any]:
        return {
            "schema_version": results.SCHEMA_VERSION,
            "mode": self.mode,
            "source": self.source,
            "probe": spec.name,
            "measure": spec.measures[0].name,
            "cpus": self.matrix.cpus,
            "cells": self.matrix.cells,
        }


def _pair_probe(name: str) -> ProbeSpec:
    spec = toposcope_probes.find(name)
    if spec is None or spec.target is not TargetKind.PAIR:
        names = [spec.name for spec in toposcope_probes.load_all() if spec.target is TargetKind.PAIR]
        raise UsageError(f"{name!r} is not a probe of CPU pairs", f"one of: {', '.join(names)}")
    return spec


def _known(spec: ProbeSpec, url: str | None, config_file: Path | None, cpus: str | None) -> _Answer | None:
    """What a daemon or the own store knows; None where that is nothing, or a run broke off and can go on."""
    daemon = _source.find_daemon(url)
    if daemon is not None:
        text = daemon.get_bytes(f"/api/v1/matrix/{spec.name}", format="csv").decode()
        topology = daemon.get("/api/v1/topology")
        matrix = matrices.parse_csv(text, name=daemon.url)
        if url is None and topology["mode"] == "live" and not has_cells(matrix):
            # Unstable pairs have no single value to keep; one of this moment can still be measured.
            return None
        return _Answer(matrix, from_document(topology), daemon.url, topology["mode"])
    directory = _source.own_store(_source.settings_from(config_file))
    machine = _measuring.this_machine()
    view = View(machine, fingerprint(machine))
    if _partial.is_unfinished(directory, view.fingerprint, spec.name, _measuring.choose_cpus(machine, cpus)):
        return None
    try:
        with Store(directory, writer=False) as store:
            for identity, measure, visits in store.results(view.fingerprint, WINDOW_VISITS_MAX):
                view.load(identity, measure, visits)
    except StoreError:
        return None
    matrix = view.matrix(spec.name)
    if not has_cells(matrix):
        return None
    return _Answer(matrix, machine, str(directory), "live")


def _measured(spec: ProbeSpec, config_file: Path | None, cpus: str | None, *, afresh: bool) -> _Answer:
    settings = _source.settings_from(config_file)
    machine = _measuring.this_machine()
    view = View(machine, fingerprint(machine))
    chosen = _measuring.choose_cpus(machine, cpus)
    tasks = matrix_tasks(machine, _measuring.choice(spec), chosen)
    _measuring.require_tasks(tasks, [spec.name], chosen)
    directory, console = store_directory(settings), Console(stderr=True)
    with _partial.open_partial(
        directory, view.fingerprint, spec.name, chosen, console, afresh=afresh
    ) as partial:
        pending = [task for task in tasks if task.identity.id not in partial.visits]
        if partial.visits:
            began = time.strftime("%H:%M", time.localtime(partial.started_s))
            said = f"going on with what was begun at {began}: {len(pending)} of {len(tasks)} pairs are left"
            click.echo(said, err=True)
        found, interrupted = _measuring.measure_now(
            machine, pending, settings, visits=1, budget_s=None, keep=partial.keep
        )
        for task in tasks:
            if (visit := partial.visits.get(task.identity.id)) is not None:
                view.add(task.identity, spec.measures[0].name, visit)
        for result in found:
            view.take(result)
        if interrupted:
            known = len(tasks) - len(pending) + len(found)
            click.echo(f"interrupted: {known} of {len(tasks)} pairs were measured", err=True)
        else:
            partial.finish()
    return _Answer(view.matrix(spec.name), machine, "measurement", "live", interrupted=interrupted)
