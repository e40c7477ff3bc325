"""In a guest with two nodes: systemd, numactl and containers bind CPUs and memory as the advice's words say.

A booted systemd, cgroup v2 and a second node are what the build machine lacks. The recipe lies beside this checkout.
"""

from __future__ import annotations

import os
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
# 2s2c: CPUs 0 and 1 on node 0, 2 and 3 on node 1.
SMALL = Machine(False, tuple(range(4)), numa_nodes=(Node(0, (0, 1), None), Node(1, (2, 3), None)))
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


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_containers_bind_as_advised_once_cpuset_is_delegated(tmp_path: Path) -> None:
    """On cgroup v2: docker's engine, and podman as a user who isn't root and may bind nothing at first."""
    run = shared_path("vm", "run")
    if shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is not installed (Debian package qemu-system-x86)")
    asked = ("grep", "-E", "(Cpus|Mems)_allowed_list", "/proc/self/status")
    one = Launch((3,), (1,), "bind", "threads", SMALL, asked)
    two = Launch((3, 0), (0, 1), "bind", "threads", SMALL, asked)
    for name in ("podman", "docker"):
        for which, launch in (("one", one), ("two", two)):
            line = LAUNCHERS[name](launch).replace("IMAGE", "tiny")
            (tmp_path / f"{name}-{which}").write_text(line + "\n")
    packages = "podman,crun,uidmap,dbus-user-session,libpam-systemd,docker.io"
    done = subprocess.run(
        [run, "--topology", "2s2c", "--share", tmp_path, "--timeout", "1200", PROJECT / "tests/vm/containers.sh"],
        capture_output=True, text=True, check=False, env=os.environ | {"TOPOSCOPE_VM_PACKAGES": packages},
    )  # fmt: skip
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert done.stdout.splitlines()[-1:] == ["done"], done.stdout + done.stderr
    near = "Cpus_allowed_list: 3 Mems_allowed_list: 1"
    apart = "Cpus_allowed_list: 0,3 Mems_allowed_list: 0-1"
    anywhere = "Cpus_allowed_list: 0-3 Mems_allowed_list: 0-1"
    assert (said["docker-one"].strip(), said["docker-two"].strip()) == (near, apart)
    assert "the requested cgroup controller `cpuset` is not available 126" in said["undelegated"]
    assert "cpuset" in said["controllers"].split()
    assert (said["delegated"].strip(), said["delegated-two"].strip()) == (f"{near} 0", f"{apart} 0")
    # Here podman drops the words, and the command runs all the same: docs/advice.md warns of it.
    assert said["cgroupfs"].strip() == f"{anywhere} 0"
    assert "Falling back to --cgroup-manager=cgroupfs" in said["sessionless"]
    assert said["sessionless"].strip().endswith(f"{anywhere} 0")
