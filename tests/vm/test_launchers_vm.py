"""In a guest with two nodes: systemd and numactl bind CPUs and memory as the advice's words say.

A booted systemd and a second node are what the build machine lacks. The recipe lies beside this checkout.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from shared_material import shared_path
from toposcope.advise.launchers import LAUNCHERS
from toposcope.advise.launchers.launch import Launch
from toposcope.topology.model import Machine, Node

PROJECT = Path(__file__).resolve().parents[2]
# 2s2c2t: CPUs 0-3 on node 0, 4-7 on node 1.
MACHINE = Machine(
    False, tuple(range(8)), numa_nodes=(Node(0, (0, 1, 2, 3), None), Node(1, (4, 5, 6, 7), None))
)
# What a process sees of itself; `default` in numa_maps means that its policy is the system's.
WHERE = """\
#!/bin/bash
echo "cpus=$(grep Cpus_allowed_list /proc/self/status | cut -f2)"
echo "memory=$(grep -m1 stack /proc/self/numa_maps | cut -d' ' -f2)"
"""


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_systemd_and_numactl_bind_as_advised(tmp_path: Path) -> None:
    run = shared_path("vm", "run")
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is not installed (Debian package qemu-system-x86)")
    near = Launch((6, 4), (1,), "bind", "threads", MACHINE, ("bash", "/share/where"))
    wide = Launch((2, 4), (0, 1), "local", "process_per_node", MACHINE, ("bash", "/share/where"))
    (tmp_path / "where").write_text(WHERE)
    (tmp_path / "unit.conf").write_text(LAUNCHERS["systemd"](near) + "\n")
    (tmp_path / "taskset").write_text(LAUNCHERS["taskset"](near) + "\n")
    (tmp_path / "numactl").write_text(LAUNCHERS["numactl"](wide) + "\n")
    done = subprocess.run(
        [run, "--topology", "2s2c2t", "--share", tmp_path, "--timeout", "1000", PROJECT / "tests/vm/launchers.sh"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert done.stdout.splitlines()[-1:] == ["done"], done.stdout + done.stderr
    assert said["systemd"].split() == ["cpus=4,6", "memory=bind:1"]
    assert "AllowedCPUs=4 6" in done.stdout
    assert said["taskset"].split() == ["cpus=4,6", "memory=default"]
    if said["numactl"] == "absent":
        pytest.skip("the guest has no numactl")
    assert said["numactl"].split() == ["cpus=2", "cpus=4", "memory=bind:0", "memory=bind:1"]
