"""The JSON document: strict on the way in, complete on the way out."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from machines import generate
from toposcope.errors import TopologyError, UsageError
from toposcope.topology.discover import discover
from toposcope.topology.document import from_document, to_document
from toposcope.topology.fingerprint import fingerprint, same_machine
from toposcope.topology.load import load_machine
from toposcope.topology.model import Machine
from toposcope.topology.sysfs import Root

FOLDER = Path(generate.__file__).parent
CORE_FIELDS = ("online_cpus", "packages", "cores", "numa_nodes", "distances", "caches")


@pytest.fixture
def machine() -> Machine:
    return discover(Root(FOLDER / "two-socket-smt/root"))


def test_core_fields_alone_make_a_machine(machine: Machine) -> None:
    document = {key: value for key, value in to_document(machine).items() if key in CORE_FIELDS}
    for node in document["numa_nodes"]:
        del node["kind"], node["initiator_nodes"]
    read = from_document(document)
    assert read.levels == machine.levels
    assert read.usable_cpus == machine.online_cpus
    assert read.numa_exposed
    assert not read.is_this_system


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("online_cpus"), "online_cpus must be a list"),
        (lambda d: d.update(caches=[{}] * 65537), "caches has 65537 entries, at most 65536"),
        (lambda d: d.update(online_cpus=[]), "online_cpus is empty"),
        (lambda d: d.update(online_cpus=[0, "1"]), r"online_cpus\[1\] must be a whole number"),
        (lambda d: d.update(online_cpus=[0, True]), r"online_cpus\[1\]"),
        (lambda d: d.update(online_cpus=[0, 0, 1]), "different numbers"),
        (lambda d: d.update(packages=[[0, 99]]), "packages names CPU 99"),
        (lambda d: d.update(cores=[[0, 1], [1, 2]]), "cores has CPU 1 twice"),
        (lambda d: d.update(allowed_cpus=[]), "no CPU of online_cpus is in allowed_cpus"),
        (lambda d: d.update(schema_version=2), "schema_version is 2"),
        (lambda d: d["numa_nodes"][0].update(id=1), "two nodes of the same id"),
        (lambda d: d["numa_nodes"][0].update(kind="gpu"), "kind must be one of"),
        (lambda d: d["numa_nodes"][0].update(memory_bytes=-1), "memory_bytes"),
        (lambda d: d["distances"]["matrix"].pop(), "not square"),
        (lambda d: d["caches"][0].update(type="Trace"), "must be one of Data"),
        (lambda d: d["caches"][0].update(level=10**9), "level"),
        (lambda d: d.update(settings=[1]), "settings must be a JSON object"),
        (lambda d: d.update(settings={"thp": 1}), "settings.thp must be text"),
        (lambda d: d.update(cpu_capacities={"x": 1}), "cpu_capacities"),
        (lambda d: d.update(core_types=[[0]], core_type_names=["a", "b"]), "not as long"),
    ],
)
def test_a_wrong_field_is_named(
    machine: Machine, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    document = copy.deepcopy(to_document(machine))
    change(document)
    with pytest.raises(TopologyError, match=words):
        from_document(document)


@pytest.mark.parametrize("content", ["", "[", "[]", "3", "[" * 100_000, '{"online_cpus": NaN}'])
def test_a_file_that_is_no_topology_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "machine.json"
    path.write_text(content)
    with pytest.raises(TopologyError, match=r"machine\.json"):
        load_machine(topology_file=path)


def test_load_takes_one_source(tmp_path: Path, machine: Machine) -> None:
    path = tmp_path / "machine.json"
    path.write_text(json.dumps(to_document(machine)))
    assert load_machine(topology_file=path) == machine
    assert load_machine(sysroot=FOLDER / "two-socket-smt/root") == machine
    with pytest.raises(UsageError, match="Only one"):
        load_machine(sysroot=tmp_path, topology_file=path)
    with pytest.raises(TopologyError, match="no directory"):
        load_machine(sysroot=path)


def test_this_host_can_be_discovered() -> None:
    machine = load_machine()
    assert machine.is_this_system
    assert machine.usable_cpus
    assert to_document(machine)["online_cpus"] == list(machine.online_cpus)


def test_fingerprint_ignores_what_changes_from_day_to_day(machine: Machine) -> None:
    other_day = replace(machine, allowed_cpus=(0,), isolated_cpus=(1,), doubts=("x",), modes=(),
                        settings=(*machine.settings[1:], ("kernel", "99")),
                        numa_nodes=tuple(replace(node, memory_bytes=1) for node in machine.numa_nodes))  # fmt: skip
    assert fingerprint(other_day) == fingerprint(machine)


def test_fingerprint_tells_machines_apart() -> None:
    prints = {fingerprint(discover(Root(path.parent / "root"))) for path in FOLDER.glob("*/expected.json")}
    assert len(prints) == len(generate.MACHINES)


def test_a_machine_with_a_cpu_switched_off_is_the_same_one(tmp_path: Path) -> None:
    whole = discover(Root(FOLDER / "two-socket-smt/root"))
    root = tmp_path / "root"
    shutil.copytree(FOLDER / "two-socket-smt/root", root)
    generate.take_offline(root, to_document(whole), 5)
    without = discover(Root(root))
    assert without.online_cpus == (0, 1, 2, 3, 4, 6, 7)
    assert same_machine(whole, without)
    assert same_machine(without, whole)
    assert fingerprint(without) != fingerprint(whole)


def test_another_layout_or_model_is_another_machine(machine: Machine) -> None:
    assert not same_machine(machine, replace(machine, packages=((0, 1, 2, 3), (4, 5, 6, 7))))
    assert not same_machine(machine, replace(machine, settings=(("cpu_model", "other"),)))
    assert not same_machine(machine, replace(machine, online_cpus=(90, 91)))
