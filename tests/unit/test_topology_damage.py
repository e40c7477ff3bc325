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


def test_sets_of_one_package_id_on_one_node_are_not_merged(tmp_path: Path) -> None:
    """Xen's old kernels show each vCPU alone and all with package id 0; the masks are what counts."""
    layout = generate.Layout(packages=4, cores=1, nodes=None)
    generate.write_machine(tmp_path, layout)
    for cpu in range(4):
        generate.put(tmp_path, f"sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id", "0")
    generate.write_node(tmp_path, 0, "f", 1 << 20, [10])
    assert discover(Root(tmp_path)).packages == ((0,), (1,), (2,), (3,))


def test_without_masks_the_ids_tell(tmp_path: Path) -> None:
    generate.write_machine(tmp_path, generate.Layout(packages=2, cores=2, threads=2))
    for path in tmp_path.rglob("*_cpus"):
        path.unlink()
    machine = discover(Root(tmp_path))
    assert machine.packages == ((0, 1, 4, 5), (2, 3, 6, 7))
    assert machine.cores == ((0, 4), (1, 5), (2, 6), (3, 7))


@pytest.mark.parametrize("missing", ["-1", "65535", "4294967295"])
def test_an_id_that_is_none_makes_no_package(tmp_path: Path, missing: str) -> None:
    generate.write_machine(tmp_path, generate.Layout(cores=2))
    for path in tmp_path.rglob("package_cpus"):
        path.unlink()
    for path in tmp_path.rglob("physical_package_id"):
        path.write_text(missing)
    assert discover(Root(tmp_path)).packages is None


def test_core_types_by_frequency_ignore_favoured_cores(tmp_path: Path) -> None:
    generate.write_machine(tmp_path, generate.Layout(cores=6))
    for cpu, frequency_khz in enumerate((5_000_000, 5_200_000, 5_000_000, 5_000_000, 3_700_000, 3_700_000)):
        generate.put(
            tmp_path, f"sys/devices/system/cpu/cpu{cpu}/cpufreq/cpuinfo_max_freq", str(frequency_khz)
        )
    assert discover(Root(tmp_path)).core_types == ((0, 1, 2, 3), (4, 5))


def test_core_types_by_capacity_where_no_model_is_told(tmp_path: Path) -> None:
    generate.write_machine(tmp_path, generate.Layout(cores=4, vendor="", model=""))
    for cpu in range(4):
        generate.put(tmp_path, f"sys/devices/system/cpu/cpu{cpu}/cpu_capacity", "1024" if cpu == 3 else "500")
    assert discover(Root(tmp_path)).core_types == ((0, 1, 2), (3,))
