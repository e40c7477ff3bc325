"""What is known of this machine now, for advice: from a daemon, else from the user's own store."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from toposcope import matrix as matrices
from toposcope.advise.facts import Evidence
from toposcope.cli import _source
from toposcope.errors import StoreError, UsageError
from toposcope.evidence import evidence_of, has_cells
from toposcope.measure.plan import MATRIX_PROBE
from toposcope.measure.validity import WINDOW_VISITS_MAX
from toposcope.store import Store
from toposcope.topology.discover import discover
from toposcope.topology.document import from_document
from toposcope.topology.fingerprint import fingerprint, same_machine
from toposcope.topology.sysfs import Root
from toposcope.view import View


def live(url: str | None, config_file: Path | None) -> Evidence:
    """The evidence of a daemon, or of the own store; a machine without results where there is neither."""
    daemon = _source.find_daemon(url)
    if daemon is not None:
        return _of_daemon(daemon)
    directory = _source.own_store(_source.settings_from(config_file))
    machine = discover(Root("/"))
    view = View(machine, fingerprint(machine))
    try:
        with Store(directory, writer=False) as store:
            for identity, measure, visits in store.results(view.fingerprint, WINDOW_VISITS_MAX):
                view.load(identity, measure, visits)
    except StoreError:
        return Evidence(machine, source="topology of this system")
    return evidence_of(view, time.time(), str(directory))


def here(url: str | None, config_file: Path | None) -> Evidence:
    """As `live`, for what is to run on this machine: with the CPUs that this very process may use.

    Raises UsageError where the daemon speaks of another machine.
    """
    evidence = live(url, config_file)
    if evidence.machine.is_this_system:
        return evidence
    machine = discover(Root("/"))
    if evidence.mode == "replay" or not same_machine(evidence.machine, machine):
        raise UsageError(
            f"{evidence.source} speaks of another machine than this one",
            "name this machine's daemon with --url, or stop the replay",
        )
    return replace(evidence, machine=machine)


def _of_daemon(daemon: _source.Daemon) -> Evidence:
    topology = daemon.get("/api/v1/topology")
    csv = daemon.get_bytes(f"/api/v1/matrix/{MATRIX_PROBE}", format="csv").decode()
    matrix = matrices.parse_csv(csv, name=daemon.url)
    return Evidence(
        from_document(topology), matrix=matrix if has_cells(matrix) else None,
        mode="replay" if topology.get("mode") == "replay" else "live", source=daemon.url,
        placement=daemon.get("/api/v1/status").get("placement", "unknown"),
    )  # fmt: skip
