"""`toposcope export`: results with topology and settings, as JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from toposcope import __version__
from toposcope.cli import _measuring, _source
from toposcope.measure.validity import WINDOW_VISITS_MAX, judge_result
from toposcope.results import SCHEMA_VERSION, to_json
from toposcope.store import Store
from toposcope.topology.document import to_document
from toposcope.topology.fingerprint import fingerprint


@click.command()
@_source.url_option
@_source.config_option
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write there, not to stdout.")
def command(url: str | None, config_file: Path | None, output: Path | None) -> None:
    """Write everything known as JSON lines: first the machine with its settings, then a result a line.

    Host name and serial numbers are not in it. `toposcope diff` compares two such files.
    """
    daemon = _source.find_daemon(url)
    if daemon is not None:
        topology = daemon.get("/api/v1/topology")
        found = daemon.get("/api/v1/results")["results"]
        mode, source = topology["mode"], "daemon"
    else:
        topology, found, mode, source = _of_store(config_file)
    head = {
        "kind": "machine",
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        "mode": mode,
        "source": source,
        "topology": topology,
    }
    lines = [head, *({"kind": "result", **result} for result in found)]
    text = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_bytes(text)


def _of_store(config_file: Path | None) -> tuple[dict[str, Any], list[dict[str, Any]], str, str]:
    directory = _source.own_store(_source.settings_from(config_file))
    machine = _measuring.this_machine()
    with Store(directory, writer=False) as store:
        found = [
            to_json(judge_result(identity, measure, visits))
            for identity, measure, visits in store.results(fingerprint(machine), WINDOW_VISITS_MAX)
        ]
    return to_document(machine), found, "live", "store"
