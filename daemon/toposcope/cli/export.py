"""`toposcope export`: results with topology and settings, as JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click
import msgspec

from toposcope import __version__
from toposcope.cli import _measuring, _source
from toposcope.measure.validity import WINDOW_VISITS_MAX, judge_result
from toposcope.page.history import points_of
from toposcope.results import SCHEMA_VERSION, to_json
from toposcope.store import Store
from toposcope.topology.document import to_document
from toposcope.topology.fingerprint import fingerprint

_YEAR_HOURS: Final = 24 * 366


@click.command()
@_source.url_option
@_source.config_option
@click.option("--history", "with_history", is_flag=True, help="Also each result's last year, a line each.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write there, not to stdout.")
def command(url: str | None, config_file: Path | None, with_history: bool, output: Path | None) -> None:
    """Write everything known as JSON lines: first the machine with its settings, then a result a line.

    Host name and serial numbers are not in it. `toposcope diff` compares two such files.
    """
    daemon = _source.find_daemon(url)
    if daemon is not None:
        topology = daemon.get("/api/v1/topology")
        found = daemon.get("/api/v1/results")["results"]
        histories = _histories_of_daemon(daemon, found) if with_history else []
        mode, source = topology["mode"], "daemon"
    else:
        topology, found, histories, mode, source = _of_store(config_file, with_history)
    head = {
        "kind": "machine",
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        "mode": mode,
        "source": source,
        "topology": topology,
    }
    lines = [head, *({"kind": "result", **result} for result in found), *histories]
    text = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_bytes(text)


def _histories_of_daemon(daemon: _source.Daemon, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    asked = (daemon.get(f"/api/v1/history/{quote(result['id'])}", hours=str(_YEAR_HOURS)) for result in found)
    return [_history(answer["id"], answer["measure"], answer["points"]) for answer in asked]


def _history(result_id: str, measure: str, points: list[dict[str, float]]) -> dict[str, Any]:
    return {"kind": "history", "id": result_id, "measure": measure, "points": points}


def _of_store(
    config_file: Path | None, with_history: bool
) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]], str, str]:
    directory = _source.own_store(_source.settings_from(config_file))
    machine = _measuring.this_machine()
    known = fingerprint(machine)
    histories = []
    with Store(directory, writer=False) as store:
        stored = list(store.results(known, WINDOW_VISITS_MAX))
        for identity, measure, _ in stored if with_history else ():
            visits = [*store.days(known, identity.id), *store.history(known, identity.id)]
            points = [{"time_s": p.time_s, "estimate": p.value, "low": p.low, "high": p.high}
                      for p in points_of(visits, measure)]  # fmt: skip
            histories.append(_history(identity.id, measure, points))
    found = [to_json(judge_result(*each)) for each in stored]
    return to_document(machine), found, histories, "live", "store"
