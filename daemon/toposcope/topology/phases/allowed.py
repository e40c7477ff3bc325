"""What this process may use: affinity mask, cgroup v1 and v2 cpusets, the old cpuset file system.

Sources: cpuset(7), cgroups(7), proc(5); Documentation/admin-guide/cgroup-v1/cpusets.rst and cgroup-v2.rst
(Cpuset). In a capture "this process" is the one that took it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from toposcope.topology.cpulist import format_cpulist, parse_cpulist, parse_mask
from toposcope.topology.model import CpuSet
from toposcope.topology.sysfs import Root

_ESCAPE: Final = re.compile(r"\\([0-7]{3})")
_MAX_DEPTH: Final = 64  # of groups in groups
# File names by kind of hierarchy; effective ones first: what the ancestors and hotplug leave of the wish.
_CPU_FILES: Final = {"cgroup2": ("cpuset.cpus.effective",),
                     "cgroup": ("cpuset.effective_cpus", "cpuset.cpus"),
                     "cpuset": ("effective_cpus", "cpus")}  # fmt: skip
_NODE_FILES: Final = {"cgroup2": ("cpuset.mems.effective",),
                      "cgroup": ("cpuset.effective_mems", "cpuset.mems"),
                      "cpuset": ("effective_mems", "mems")}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted cgroup or cpuset hierarchy. `kind` is cgroup2, cgroup or cpuset (names without prefix).

    `root` is the part of the hierarchy that the mount shows; in a container it is the container's own group.
    """

    kind: str
    point: str
    root: str = "/"


def read_allowed(root: Root, online: CpuSet, node_ids: CpuSet) -> tuple[CpuSet, tuple[int, ...] | None]:
    """The online CPUs and the nodes that the process may use; None for nodes where nothing tells."""
    cpus, nodes = _status_sets(root)
    if root.is_this_system:
        cpus = tuple(sorted(os.sched_getaffinity(0)))
    mount = find_mount(root)
    if mount is not None:
        group = _group_path(root, mount)
        cpus = _intersection(cpus, _effective(root, mount, group, _CPU_FILES))
        nodes = _intersection(nodes, _effective(root, mount, group, _NODE_FILES))
    allowed = online if cpus is None else tuple(cpu for cpu in online if cpu in set(cpus))
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


def find_mount(root: Root) -> Mount | None:
    """Where cpusets are: a cgroup v1 or cpuset mount that has them, else the cgroup v2 mount."""
    mounts: list[Mount] = []
    for path, parse in (("proc/self/mountinfo", parse_mountinfo), ("proc/mounts", parse_mounts),
                        ("proc/self/mounts", parse_mounts)):  # fmt: skip
        text = root.table(path)
        if text:
            mounts = list(parse(text))
            break
    return next((mount for mount in mounts if mount.kind != "cgroup2"), None) or next(iter(mounts), None)


def parse_mounts(text: str) -> Iterator[Mount]:
    """The mounts that can show cpusets, from /proc/mounts: `device point type options 0 0`."""
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 4:
            kind = _kind(words[2], words[3])
            if kind:
                yield Mount(kind, _unescaped(words[1]))


def parse_mountinfo(text: str) -> Iterator[Mount]:
    """The same from /proc/self/mountinfo: `id parent dev root point options … - type source options`."""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        words, tail = before.split(), after.split()
        if len(words) >= 6 and len(tail) >= 3:
            kind = _kind(tail[0], tail[2])
            if kind:
                yield Mount(kind, _unescaped(words[4]), _unescaped(words[3]))


def thin_mounts(text: str) -> str:
    """Of /proc/mounts only the lines about cpusets."""
    return "".join(line + "\n" for line in text.splitlines() if any(parse_mounts(line)))


def thin_mountinfo(text: str) -> str:
    """Of /proc/self/mountinfo only the lines about cpusets."""
    return "".join(line + "\n" for line in text.splitlines() if any(parse_mountinfo(line)))


def _kind(file_system: str, options: str) -> str | None:
    words = options.split(",")
    if file_system == "cgroup" and "cpuset" in words:
        return "cpuset" if "noprefix" in words else "cgroup"
    return file_system if file_system in ("cgroup2", "cpuset") else None


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8) & 0xFF), text)


def _group_path(root: Root, mount: Mount) -> str:
    """The process's group in the mounted hierarchy, as the kernel names it."""
    group = parse_group(root.table("proc/self/cgroup") or "", mount.kind)
    if group is None:
        group = root.text("proc/self/cpuset") or "/"
    return group


def parse_group(text: str, kind: str) -> str | None:
    """The group from /proc/self/cgroup, lines `id:controllers:path`; the id of cgroup v2 is 0."""
    for line in text.splitlines():
        hierarchy_id, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy_id == "0" if kind == "cgroup2" else "cpuset" in controllers.split(","):
            return path.strip() or "/"
    return None


def thin_groups(text: str) -> str:
    """Of /proc/self/cgroup only the lines about cpusets."""
    kinds = ("cgroup", "cgroup2")
    return "".join(
        f"{line}\n" for line in text.splitlines() if any(parse_group(line, kind) for kind in kinds)
    )


def group_directories(mount: Mount, group: str) -> Iterator[str]:
    """The group's directory below the root and those of its ancestors, up to the mount point.

    A group without a cpuset controller of its own has that of its nearest ancestor. The kernel names the
    group from its own namespace, the mount may begin at the group's root: that part is taken off.
    """
    if mount.root != "/" and (group + "/").startswith(mount.root + "/"):
        group = group[len(mount.root) :]
    point, parts = _parts(mount.point), _parts(group)
    for length in range(min(len(parts), _MAX_DEPTH), -1, -1):
        yield "/".join((*point, *parts[:length]))


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".", "..")]


def _effective(root: Root, mount: Mount, group: str, files: dict[str, tuple[str, ...]]) -> CpuSet | None:
    for directory in group_directories(mount, group):
        for name in files[mount.kind]:
            cpus = root.cpulist(f"{directory}/{name}")
            if cpus:
                return cpus
    return None
