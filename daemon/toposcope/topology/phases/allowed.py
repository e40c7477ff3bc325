"""What this process may use: affinity mask, cgroup v1 and v2 cpusets, the old cpuset file system.

Sources: cpuset(7), cgroups(7), proc(5); Documentation/admin-guide/cgroup-v1/cpusets.rst and cgroup-v2.rst
(Cpuset). In a capture "this process" is the one that took it.
"""

from __future__ import annotations

import os
from typing import Final

from toposcope.topology.cpulist import format_cpulist, parse_cpulist, parse_mask
from toposcope.topology.model import CpuSet
from toposcope.topology.phases.cgroups import Mount, find_mount, group_directories, read_group
from toposcope.topology.sysfs import Root

# File names by kind of hierarchy; effective ones first: what the ancestors and hotplug leave of the wish.
_CPU_FILES: Final = {"cgroup2": ("cpuset.cpus.effective",),
                     "cgroup": ("cpuset.effective_cpus", "cpuset.cpus"),
                     "cpuset": ("effective_cpus", "cpus")}  # fmt: skip
_NODE_FILES: Final = {"cgroup2": ("cpuset.mems.effective",),
                      "cgroup": ("cpuset.effective_mems", "cpuset.mems"),
                      "cpuset": ("effective_mems", "mems")}  # fmt: skip


def read_allowed(root: Root, online: CpuSet, node_ids: CpuSet) -> tuple[CpuSet, tuple[int, ...] | None]:
    """The online CPUs and the nodes that the process may use; None for nodes where nothing tells."""
    cpus, nodes = _status_sets(root)
    if root.is_this_system:
        cpus = tuple(sorted(os.sched_getaffinity(0)))
    mount = find_mount(root, "cpuset")
    if mount is not None:
        group = read_group(root, mount, "cpuset")
        cpus = _intersection(cpus, _effective(root, mount, group, _CPU_FILES))
        nodes = _intersection(nodes, _effective(root, mount, group, _NODE_FILES))
    wanted = frozenset(online if cpus is None else cpus)
    allowed = tuple(cpu for cpu in online if cpu in wanted)
    if not allowed:
        root.doubt(f"allowed CPUs {format_cpulist(cpus or ())[:40]}: none of them is online, taken as all")
        allowed = online
    if nodes and node_ids:
        nodes = tuple(node for node in nodes if node in node_ids)
    return allowed, nodes or None


def _intersection(some: CpuSet | None, others: CpuSet | None) -> CpuSet | None:
    if some is None or others is None:
        return others if some is None else some
    return tuple(sorted(set(some) & set(others)))


def _status_sets(root: Root) -> tuple[CpuSet | None, CpuSet | None]:
    """The affinity mask and the allowed nodes of /proc/self/status (proc(5))."""
    fields = dict(
        line.split(":", 1) for line in (root.table("proc/self/status") or "").splitlines() if ":" in line
    )
    found = []
    for key in ("Cpus_allowed", "Mems_allowed"):
        as_list, as_mask = fields.get(f"{key}_list"), fields.get(key)  # lists since Linux 2.6.26
        try:
            cpus = parse_cpulist(as_list) if as_list is not None else parse_mask(as_mask or "")
        except ValueError as error:
            root.doubt(f"proc/self/status: {key}: {error}")
            cpus = ()
        found.append(cpus or None)
    return found[0], found[1]


def thin_status(text: str) -> str:
    """Of /proc/self/status only what is used."""
    kept = [line for line in text.splitlines() if line.startswith(("Cpus_allowed", "Mems_allowed"))]
    return "\n".join(kept) + "\n"


def _effective(root: Root, mount: Mount, group: str, files: dict[str, tuple[str, ...]]) -> CpuSet | None:
    for directory in group_directories(mount, group):
        for name in files[mount.kind]:
            cpus = root.cpulist(f"{directory}/{name}")
            if cpus:
                return cpus
    return None
