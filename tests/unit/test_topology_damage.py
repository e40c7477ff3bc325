"""Damaged trees: a machine with doubts, or one clear error. The long run is in tests/soak."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from machines import generate
from machines.damage import damage
from machines.invariants import check_everything
from toposcope.errors import TopologyError
from toposcope.topology.discover import discover
from toposcope.topology.sysfs import Root

FOLDERS = sorted(path.parent / "root" for path in Path(generate.__file__).parent.glob("*/expected.json"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.sampled_from(FOLDERS))
def test_a_damaged_tree_is_a_machine_or_a_clear_error(seed: int, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "root"
        shutil.copytree(folder, root, symlinks=True)
        damage(root, seed)
        try:
            check_everything(root)
        except TopologyError as error:
            assert error.message
            assert "\n" not in error.message


def test_an_empty_root_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="No CPU is described below"):
        discover(Root(tmp_path))


def test_a_claim_of_thousands_of_cpus_without_directories_is_doubted(tmp_path: Path) -> None:
    generate.write_machine(tmp_path, generate.Layout(cores=2))
    generate.put(tmp_path, "sys/devices/system/cpu/online", "0-60000")
    machine = discover(Root(tmp_path))
    assert machine.online_cpus == (0, 1)
    assert any("without a directory" in doubt for doubt in machine.doubts)
