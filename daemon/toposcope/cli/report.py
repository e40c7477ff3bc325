"""`toposcope report`: the fourteen claims about threads, processes and coroutines, on this host."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from toposcope import replay
from toposcope import report as reports
from toposcope.choices import find_interpreters
from toposcope.cli import _measuring, _source
from toposcope.cli._output import format_option, print_json
from toposcope.errors import StoreError
from toposcope.matrix import Matrix, parse_csv
from toposcope.measure.plan import MATRIX_PROBE, Task
from toposcope.measure.validity import WINDOW_VISITS_MAX
from toposcope.page.report import report_html, report_svg
from toposcope.store import Store
from toposcope.topology.document import from_document
from toposcope.topology.fingerprint import fingerprint
from toposcope.topology.model import Machine

_Drawn = tuple[Machine, Matrix | None]


@click.command()
@format_option("html", "svg")
@_source.url_option
@_source.config_option
@_source.replay_options
@click.option("--measure", "measure_now", is_flag=True, help="Measure now, whatever is known.")
def command(
    *,
    output_format: str,
    url: str | None,
    config_file: Path | None,
    sysroot: Path | None,
    topology_file: Path | None,
    matrix_file: Path | None,
    measure_now: bool,
) -> None:
    """Test on this host what people say about threads, processes, coroutines and packages.

    Asks the daemon, or the own store, where they know all that the claims rest on; else it measures, which
    takes up to three minutes.
    """
    document: list[dict[str, Any]] | None = None
    source, mode = "measurement", "live"
    drawn: _Drawn | None = None
    if sysroot or topology_file or matrix_file:
        machine, matrix = replay.load(sysroot, topology_file, matrix_file)
        document, source, mode = reports.to_json(reports.judged([], machine)), "replay", "replay"
        drawn = (machine, matrix)
    elif not measure_now:
        document, source = _known(url, config_file)
    if document is None:
        document, interrupted = _measured(config_file)
        if interrupted:
            click.echo("interrupted: the claims rest on what was measured until then", err=True)
            sys.exit(130)
    if output_format == "html":
        machine, matrix = drawn or _drawn_live(url)
        made_s = time.time()
        html = report_html(document, source=source, mode=mode, machine=machine, matrix=matrix, made_s=made_s)
        click.echo(html, nl=False)
        return
    _show(document, output_format, source, mode)


def _drawn_live(url: str | None) -> _Drawn:
    """The machine and matrix of the daemon, where one answers, else this machine."""
    daemon = _source.find_daemon(url)
    if daemon is None:
        return _measuring.this_machine(), None
    text = daemon.get_bytes(f"/api/v1/matrix/{MATRIX_PROBE}", format="csv").decode()
    return from_document(daemon.get("/api/v1/topology")), parse_csv(text, name=daemon.url)


def _known(url: str | None, config_file: Path | None) -> tuple[list[dict[str, Any]] | None, str]:
    daemon = _source.find_daemon(url)
    if daemon is not None:
        answer = daemon.get("/api/v1/report")
        if url or answer["measured"]:
            return answer["claims"], daemon.url
        return None, "measurement"
    directory = _source.own_store(_source.settings_from(config_file))
    machine = _measuring.this_machine()
    try:
        with Store(directory, writer=False) as store:
            stored = store.results(fingerprint(machine), WINDOW_VISITS_MAX)
            visited: reports.Visited = [(identity, visits) for identity, _, visits in stored]
    except StoreError:
        return None, "measurement"
    if not reports.is_measured(visited):
        return None, "measurement"
    return reports.to_json(reports.judged(visited, machine)), str(directory)


def _measured(config_file: Path | None) -> tuple[list[dict[str, Any]], bool]:
    settings = _source.settings_from(config_file)
    machine = _measuring.this_machine()
    cpus = _measuring.choose_cpus(machine, None)
    named = asyncio.run(find_interpreters(settings))
    click.echo(f"measuring for {reports.VISITING_S_MAX / 60:g} minutes at most", err=True)
    is_complete = False

    def rounds(visited: Callable[[], reports.Visited]) -> Iterator[list[Task]]:
        nonlocal is_complete
        yield from reports.rounds(machine, cpus=cpus, interpreters=named, visited=visited)
        is_complete = True

    visited, interrupted = _measuring.visit_rounds(
        machine, rounds, settings, budget_s=reports.VISITING_S_MAX, ends_s=reports.ENDS_S_MAX
    )
    return reports.to_json(reports.judged(visited, machine, cut_short=not is_complete)), interrupted


def _show(document: list[dict[str, Any]], output_format: str, source: str, mode: str) -> None:
    if output_format == "json":
        print_json(document)
    elif output_format == "svg":
        click.echo(report_svg(document, source=source, mode=mode), nl=False)
    else:
        from toposcope.render.report_text import print_report

        print_report(document)
        click.echo(f"source: {source}; mode: {mode}")
