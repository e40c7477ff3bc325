"""Which CPUs there are: possible, present, online, offline, isolated.

Sources: Documentation/admin-guide/cputopology.rst (possible, present, online, offline, kernel_max),
Documentation/ABI/testing/sysfs-devices-system-cpu (isolated, nohz_full, cpuN/online).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from toposcope.errors import TopologyError
from toposcope.topology.cpulist import format_cpulist
from toposcope.topology.model import CpuSet
from toposcope.topology.phases import cpuinfo
from toposcope.topology.sysfs import Root

CPU_DIR: Final = "sys/devices/system/cpu"
# A capture may lack CPUs' directories; thousands of CPUs that nothing else tells of are no CPUs.
_MAX_UNDESCRIBED_CPUS: Final = 1024


@dataclass(frozen=True, slots=True)
class CpuSets:
    """The kernel's global CPU sets; None where it doesn't tell."""

    online: CpuSet
    possible: CpuSet | None
    present: CpuSet | None
    offline: CpuSet
    isolated: CpuSet | None
    nohz_full: CpuSet | None


def read_cpus(root: Root) -> CpuSets:
    """All of them. Raises TopologyError where no online CPU can be found."""
    directories = tuple(root.numbered_directories(CPU_DIR, "cpu"))
    present = root.cpulist(f"{CPU_DIR}/present")
    online = _online(root, directories)
    if not online:
        raise TopologyError(
            f"No CPU is described below {root.path}",
            "a root has sys/devices/system/cpu and proc below it, as `toposcope capture` writes them",
        )
    return CpuSets(
        online=online,
        possible=root.cpulist(f"{CPU_DIR}/possible"),
        present=present,
        # cpu/offline also lists CPUs that never were there, up to kernel_max.
        offline=tuple(sorted(set(present or directories) - set(online))),
        isolated=root.cpulist(f"{CPU_DIR}/isolated"),
        nohz_full=root.cpulist(f"{CPU_DIR}/nohz_full"),
    )


def _online(root: Root, directories: CpuSet) -> CpuSet:
    online = root.cpulist(f"{CPU_DIR}/online")
    missing = set(online or ()) - set(directories)
    if missing and directories:
        root.doubt(f"{CPU_DIR}/online names CPUs without a directory: {format_cpulist(missing)[:60]}")
    if online and len(missing) <= _MAX_UNDESCRIBED_CPUS:
        return online
    if directories:
        # Kernels before 2.6.26: a CPU that can't be switched off has no such file.
        return tuple(cpu for cpu in directories if root.integer(f"{CPU_DIR}/cpu{cpu}/online") != 0)
    return cpuinfo.cpu_ids(cpuinfo.read_records(root))
