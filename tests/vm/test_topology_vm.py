"""In guests with made-up topologies: our answer against lscpu and lstopo there, before and after CPU hotplug.

Minutes each, since the guests are emulated. The recipe lies beside this checkout.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

from shared_material import shared_path

PROJECT = Path(__file__).resolve().parents[2]
NEEDED_PACKAGES = ("click", "rich", "pygments", "markdown_it", "mdurl", "msgspec")


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the guest sees as /share: the project, and the packages that the command line needs."""
    folder = tmp_path_factory.mktemp("share")
    for name in ("daemon", "probes"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "tests/vm/topology_guest.py", folder)
    for name in NEEDED_PACKAGES:
        spec = importlib.util.find_spec(name)
        assert spec
        assert spec.origin
        shutil.copytree(Path(spec.origin).parent, folder / "site" / name)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("topology", "unplugged"),
    [("2s2c2t", "3 5"), ("2s2d2c4n@12,32", "2 7"), ("2s2d2c4n1m@12,32+hmat", "1"), ("memless", "1"),
     ("absent-cpus", "1"), ("2s4d4c2t4n", "9 40 63")],
)  # fmt: skip
def test_topology_agrees_with_lscpu_and_lstopo(share: Path, topology: str, unplugged: str) -> None:
    run = shared_path("vm", "run")
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is not installed")
    command = [
        run,
        "--topology",
        topology,
        "--share",
        share,
        "--timeout",
        "1600",
        PROJECT / "tests/vm/topology.sh",
    ]
    done = subprocess.run([*command, *unplugged.split()], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["agree"], done.stdout + done.stderr
