"""What is known of a machine, for advice: from files, from a daemon, else from the user's own store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec

import toposcope_probes
from toposcope import matrix as matrices
from toposcope import replay
from toposcope.advise import one_cpu
from toposcope.advise.facts import Evidence
from toposcope.advise.matrix_only import with_cores_shown
from toposcope.cli import _source
from toposcope.errors import DaemonError, StoreError, UsageError
from toposcope.evidence import evidence_of, has_cells
from toposcope.judgements import ClaimStanding
from toposcope.matrix import read_matrix
from toposcope.measure.plan import MATRIX_PROBE
from toposcope.measure.validity import WINDOW_VISITS_MAX
from toposcope.results import Estimate, Identity, Result, Target
from toposcope.store import Store
from toposcope.topology.discover import discover
from toposcope.topology.document import from_document
from toposcope.topology.fingerprint import fingerprint, same_machine
from toposcope.topology.hostload import read_free_memory_bytes
from toposcope.topology.load import load_machine
from toposcope.topology.model import Machine
from toposcope.topology.sysfs import Root
from toposcope.view import View

# What advice reads of a daemon's results; the matrix has a path of its own.
_PROBES: Final = (MATRIX_PROBE, "memory_latency", "memory_bandwidth", one_cpu.PROBE)


def replayed(sysroot: Path | None, topology_file: Path | None, matrix_file: Path | None) -> Evidence:
    """The evidence that files hold. Raises UsageError where they belong to different machines."""
    matrix = read_matrix(matrix_file) if matrix_file else None
    if not (sysroot or topology_file):
        assert matrix is not None
        machine = with_cores_shown(replay.machine_of(matrix), matrix)
        return Evidence(machine, False, matrix, mode="replay", source=str(matrix_file))
    machine = load_machine(sysroot, topology_file)
    source = ", ".join(str(path) for path in (sysroot, topology_file, matrix_file) if path)
    if matrix is not None and not set(matrix.cpus) & set(machine.online_cpus):
        raise UsageError(
            f"{matrix_file}: none of its CPUs is in the topology",
            "give a topology and a matrix of the same machine",
        )
    return Evidence(machine, matrix=matrix, mode="replay", source=source)


def live(url: str | None, config_file: Path | None) -> Evidence:
    """The evidence of a daemon, or of the own store; a machine without results where there is neither."""
    daemon = _source.find_daemon(url)
    if daemon is not None:
        return _of_daemon(daemon)
    return own(config_file)


def own(config_file: Path | None) -> Evidence:
    """The evidence of the user's own store on this machine."""
    directory = _source.own_store(_source.settings_from(config_file))
    machine = discover(Root("/"))
    view = View(machine, fingerprint(machine))
    source = str(directory)
    try:
        with Store(directory, writer=False) as store:
            for identity, measure, visits in store.results(view.fingerprint, WINDOW_VISITS_MAX):
                view.load(identity, measure, visits)
    except StoreError:
        source = "topology of this system"
    return evidence_of(view, time.time(), source, _free_memory_bytes(machine))


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


def _free_memory_bytes(machine: Machine) -> dict[int, int]:
    return read_free_memory_bytes(Root("/"), [node.id for node in machine.numa_nodes])


def _of_daemon(daemon: _source.Daemon) -> Evidence:
    """What a daemon knows, from the documents that it serves to everybody."""
    topology, status = daemon.get("/api/v1/topology"), daemon.get("/api/v1/status")
    is_replay = topology.get("mode") == "replay"
    csv = daemon.get_bytes(f"/api/v1/matrix/{MATRIX_PROBE}", format="csv").decode()
    matrix = matrices.parse_csv(csv, name=daemon.url)
    machine = from_document(topology)
    if is_replay:
        bare = replay.is_bare(machine)
        machine = with_cores_shown(machine, matrix) if bare else machine
        known = matrix if has_cells(matrix) else None
        return Evidence(machine, not bare, known, mode="replay", source=daemon.url)
    view = View(machine, fingerprint(machine))
    view.set_status(status)
    for probe in _PROBES:
        for document in daemon.get("/api/v1/results", probe=probe)["results"]:
            view.take(_result_of(document, daemon.url))
    known = matrix if has_cells(matrix) else None
    claims = tuple(_claim_of(each) for each in daemon.get("/api/v1/report")["claims"])
    placement = status.get("placement", "unknown")
    return replace(
        evidence_of(view, time.time(), daemon.url), matrix=known, claims=claims, placement=placement
    )


def _result_of(document: Mapping[str, Any], url: str) -> Result:
    """A result as the API shows it, without its visits. Raises DaemonError where it is none."""
    spec = toposcope_probes.find(document["probe"])
    try:
        identity = Identity(
            document["probe"], msgspec.convert(document["target"], Target), document["variant"],
            document["relation"], document["node_distance"],
        )  # fmt: skip
        measures = {
            measure.name: Estimate(
                *(document[f"{measure.name}_{stat}"] for stat in Estimate.__struct_fields__)
            )
            for measure in (spec.measures if spec else ())
            if f"{measure.name}_estimate" in document
        }
        primary = spec.measures[0].name if spec else ""
        return Result(identity, primary, document["verdict"], document["reason"], measures,
                      last_time_s=document["last_time_s"])  # fmt: skip
    except (KeyError, TypeError, msgspec.ValidationError) as error:
        raise DaemonError(
            f"{url}: a result lacks {error}", "is it of the same version as this command?"
        ) from None


def _claim_of(document: Mapping[str, Any]) -> ClaimStanding:
    interval = document["interval"]
    return ClaimStanding(
        document["claim"], document["verdict"], document["ratio"], tuple(interval) if interval else None
    )
