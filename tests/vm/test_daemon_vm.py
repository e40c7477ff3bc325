"""In a guest with two sockets and SMT: the daemon lives through hotplug, and systemd heals it.

Minutes, since the guest is emulated. The recipe lies beside this checkout.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from shared_material import shared_path

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the guest sees as /share: the daemon with all that it depends on, installed into a folder."""
    folder = tmp_path_factory.mktemp("share")
    site = folder / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", site, PROJECT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder / "bin").mkdir()
    shutil.copy(site / "bin" / "toposcope-kernels", folder / "bin")
    shutil.copy(PROJECT / "tests/vm/daemon_guest.py", folder)
    shutil.copy(PROJECT / "systemd/toposcope.service", folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.skipif(sysconfig.get_python_version() != "3.11", reason="the guest's Python is 3.11")
@pytest.mark.parametrize(
    ("script", "arguments", "last_line"),
    [("daemon.sh", ["3", "5"], "survived"), ("systemd.sh", [], "healed")],
)
def test_the_daemon_in_a_guest(share: Path, script: str, arguments: list[str], last_line: str) -> None:
    run = shared_path("vm", "run")
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is not installed")
    command = [
        run,
        "--topology",
        "2s2c2t",
        "--share",
        share,
        "--timeout",
        "2000",
        PROJECT / "tests/vm" / script,
    ]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == [last_line], done.stdout + done.stderr
