"""The captured machines beside this checkout, compared field by field with what is known of them."""

from __future__ import annotations

import importlib.util
import json
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from shared_material import shared_path
from toposcope.topology.capture import RecordingRoot, capture
from toposcope.topology.discover import discover
from toposcope.topology.document import to_document
from toposcope.topology.sysfs import Root


def _scorer() -> ModuleType:
    path = shared_path("topologies", "score_topology.py")
    spec = importlib.util.spec_from_file_location("score_topology", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_capture_is_exact(tmp_path: Path) -> None:
    """All in one test: unpacking each, discovering, comparing; and the capture of a capture is the same."""
    truth = json.loads(shared_path("topologies", "truth.json").read_text())["captures"]
    scorer, wrong = _scorer(), []
    for entry in truth:
        with tarfile.open(shared_path("topologies", f"{entry['name']}.tar.xz")) as archive:
            archive.extractall(tmp_path, filter="data")
        root = tmp_path / entry["name"]
        said = json.loads(json.dumps(to_document(discover(Root(root)))))
        wrong += [f"{entry['name']}: {field}: {what}" for field, what in scorer.compare(entry, said)]
        if not capture(RecordingRoot(root), tmp_path / "copies" / entry["name"]).is_same:
            wrong.append(f"{entry['name']}: its capture reads as another machine")
    assert not wrong, "\n".join(wrong)
    assert len(truth) >= 32


def test_a_machine_made_by_another_tool_can_be_read(tmp_path: Path) -> None:
    """score_sampled_advice.py writes topology files for `--topology`: core fields only."""
    pytest.importorskip("numpy")
    folder = shared_path("latency_matrices")
    text = (folder / "score_sampled_advice.py").read_text()
    assert "def declared(facts)" in text
    namespace: dict[str, object] = {}
    begin, end = text.index("CLUSTERS = {"), text.index("def labels(")
    exec(text[begin:end], namespace)  # its `declared` alone; the rest wants its neighbours
    from toposcope.topology.document import from_document

    read = 0
    for path in sorted(folder.glob("*.json")):
        facts = json.loads(path.read_text())
        if isinstance(facts, dict) and {"cpu_ids", "truth_per_cpu", "cores", "sockets"} <= facts.keys():
            document = namespace["declared"](facts)  # type: ignore[operator]
            machine = from_document(json.loads(json.dumps(document)))
            assert machine.online_cpus == tuple(sorted(facts["cpu_ids"]))
            read += 1
    assert read > 0
