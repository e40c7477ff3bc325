"""Discovery on machines of our own making: what is true of them is known by construction."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from machines import generate
from toposcope.topology.capture import RecordingRoot, capture
from toposcope.topology.discover import discover
from toposcope.topology.document import from_document, to_document
from toposcope.topology.sysfs import Root

FOLDER = Path(generate.__file__).parent
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/expected.json"))


def test_folders_and_generator_name_the_same_machines() -> None:
    assert sorted(generate.MACHINES) == NAMES
    assert len(NAMES) >= 12


@pytest.mark.parametrize("name", NAMES)
def test_discovery_tells_what_is_true(name: str) -> None:
    expected = json.loads((FOLDER / name / "expected.json").read_text())
    document = to_document(discover(Root(FOLDER / name / "root")))

    doubts, modes = expected.pop("doubts"), expected.pop("modes")
    for node, wanted in zip(document["numa_nodes"], expected["numa_nodes"], strict=True):
        for key in set(node) - set(wanted):
            del node[key]
    assert {key: document[key] for key in expected} == expected
    assert [mode["name"] for mode in document["modes"]] == modes
    assert bool(document["doubts"]) == bool(doubts)
    for words in doubts:
        assert any(words in sentence for sentence in document["doubts"]), document["doubts"]


@pytest.mark.parametrize("name", NAMES)
def test_generator_still_writes_these_folders(name: str, tmp_path: Path) -> None:
    generate.MACHINES[name][1](tmp_path)
    written = {path.relative_to(tmp_path): path for path in tmp_path.rglob("*")}
    stored = {path.relative_to(FOLDER / name / "root"): path for path in (FOLDER / name / "root").rglob("*")}
    assert written.keys() == stored.keys()
    for path, stored_path in stored.items():
        if stored_path.is_symlink():
            assert stored_path.readlink() == written[path].readlink()
        elif stored_path.is_file():
            assert stored_path.read_bytes() == written[path].read_bytes(), path


@pytest.mark.parametrize("name", NAMES)
def test_capture_of_a_machine_is_the_same_machine(name: str, tmp_path: Path) -> None:
    done = capture(RecordingRoot(FOLDER / name / "root"), tmp_path / "copy")
    assert done.is_same
    assert done.file_count == sum(path.is_file() for path in (tmp_path / "copy").rglob("*"))


@pytest.mark.parametrize("name", NAMES)
def test_document_and_back_is_the_same_machine(name: str) -> None:
    machine = discover(Root(FOLDER / name / "root"))
    assert from_document(json.loads(json.dumps(to_document(machine)))) == machine


def test_nodes_that_claim_the_same_cpus_are_doubted_and_still_read_back(tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(FOLDER / "two-socket-smt/root", root, symlinks=True)
    nodes = root / "sys/devices/system/node"
    for name in ("cpumap", "cpulist"):
        if (nodes / "node0" / name).exists():
            (nodes / "node1" / name).write_text((nodes / "node0" / name).read_text())

    machine = discover(Root(root))

    first, second = machine.numa_nodes
    assert first.cpus == second.cpus == (0, 1, 4, 5)
    assert any("CPUs 0-1,4-5 are in several nodes at once" in doubt for doubt in machine.doubts)
    assert to_document(from_document(to_document(machine))) == to_document(machine)
