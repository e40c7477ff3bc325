"""Who shares what, as the sibling masks tell: packages, dies, clusters, cores, books, drawers.

The masks are believed rather than the ids: physical_package_id is -1 or 65535 where firmware tells none,
and s390x starts counting again in each book. Only dies and clusters need their id, too: where the
architecture has none, the kernel still writes a mask, each CPU alone, and an id of -1 or 65535
(Documentation/ABI/stable/sysfs-devices-system-cpu, include/linux/topology.h).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from toposcope.topology.cpulist import format_cpulist
from toposcope.topology.disjoint import disjoint
from toposcope.topology.model import CpuSet, Node, Partition, partition_of
from toposcope.topology.phases import cpuinfo
from toposcope.topology.phases.cpus import CPU_DIR
from toposcope.topology.sysfs import Root

# Level: file names without _list; the first one that exists counts. Linux 5.2 renamed *_siblings.
_MASKS: Final = {
    "packages": ("package_cpus", "core_siblings"),
    "dies": ("die_cpus",),
    "clusters": ("cluster_cpus",),
    "cores": ("core_cpus", "thread_siblings"),
    "books": ("book_siblings", "book_cpus"),
    "drawers": ("drawer_siblings", "drawer_cpus"),
}
_NEEDED_IDS: Final = {"dies": "die_id", "clusters": "cluster_id"}
_NO_ID: Final = (-1, 65535, 0xFFFFFFFF)

Ids = dict[int, tuple[int | None, int | None]]  # cpu_id: (physical_package_id, core_id)


@dataclass(frozen=True, slots=True)
class Siblings:
    """The partitions of the online CPUs; None for a level that the kernel doesn't describe here."""

    packages: Partition | None
    dies: Partition | None
    clusters: Partition | None
    cores: Partition | None
    books: Partition | None
    drawers: Partition | None


def read_siblings(root: Root, online: CpuSet) -> Siblings:
    """From sysfs; where a level has no masks, from the ids; without any sysfs topology, from cpuinfo."""
    tables: dict[str, dict[int, CpuSet]] = {level: {} for level in _MASKS}
    ids: Ids = {}
    files = _files_of_levels(root, online)
    for cpu in online:
        directory = f"{CPU_DIR}/cpu{cpu}/topology"
        for level, mask_name, id_name in files:
            if id_name and root.integer(f"{directory}/{id_name}") in _NO_ID:
                continue
            cpus = root.cpu_set(directory, mask_name, f"{mask_name}_list")
            if cpus:
                tables[level][cpu] = cpus
        if cpu not in tables["packages"] or cpu not in tables["cores"]:
            ids[cpu] = (
                root.integer(f"{directory}/physical_package_id"),
                root.integer(f"{directory}/core_id"),
            )
    _fill_from_ids(tables, _ids_of_cpuinfo(root, online) if _nothing(tables, ids) else ids)
    return Siblings(**{level: _partition(root, level, table, online) for level, table in tables.items()})


def _files_of_levels(root: Root, online: CpuSet) -> list[tuple[str, str, str | None]]:
    """(level, mask file, id file) of the levels there are: one kernel gives all CPUs the same files.

    So the directories of two CPUs tell; to list each would cost as much as two reads a CPU.
    """
    names = {name for cpu in (online[0], online[-1]) for name in root.names(f"{CPU_DIR}/cpu{cpu}/topology")}
    found = []
    for level, candidates in _MASKS.items():
        mask_name = next((name for name in candidates if name in names or f"{name}_list" in names), None)
        if mask_name:
            id_name = _NEEDED_IDS.get(level)
            found.append((level, mask_name, id_name if id_name in names else None))
    return found


def _nothing(
    tables: Mapping[str, Mapping[int, CpuSet]], ids: Mapping[int, tuple[int | None, int | None]]
) -> bool:
    return not any(tables.values()) and all(pair == (None, None) for pair in ids.values())


def _ids_of_cpuinfo(root: Root, online: CpuSet) -> Ids:
    records = cpuinfo.read_records(root)
    wanted = set(online)
    return {
        int(record["processor"]): (cpuinfo.number(record, "physical id"), cpuinfo.number(record, "core id"))
        for record in records
        if len(record["processor"]) < 6 and int(record["processor"]) in wanted
    }


def _fill_from_ids(
    tables: dict[str, dict[int, CpuSet]], ids: Mapping[int, tuple[int | None, int | None]]
) -> None:
    """Only where a level has no masks at all: ids and masks mixed would contradict each other."""
    by_package: dict[int, list[int]] = {}
    by_core: dict[tuple[int | None, int], list[int]] = {}
    for cpu, (package_id, core_id) in ids.items():
        if package_id is not None and package_id not in _NO_ID:
            by_package.setdefault(package_id, []).append(cpu)
        if core_id is not None and core_id not in _NO_ID:
            by_core.setdefault((package_id, core_id), []).append(cpu)
    for level, groups in (("packages", by_package.values()), ("cores", by_core.values())):
        if not tables[level]:
            tables[level] = {cpu: tuple(cpus) for cpus in groups for cpu in cpus}


def _partition(root: Root, level: str, table: Mapping[int, CpuSet], online: CpuSet) -> Partition | None:
    """The sets that CPUs name for themselves, made disjoint: where they overlap, the one named most wins."""
    if not table:
        return None
    everything = set(online)
    members: dict[int, tuple[CpuSet, list[int]]] = {}
    for cpu, cpus in table.items():  # equal masks are the same object (Root), so a wide one is handled once
        members.setdefault(id(cpus), (cpus, []))[1].append(cpu)
    named: Counter[CpuSet] = Counter()
    for cpus, owners in members.values():
        here = everything.intersection(cpus)
        strangers = [cpu for cpu in owners if cpu not in here]
        if strangers:
            root.doubt(f"{level}: CPU {strangers[0]} is not in its own set {format_cpulist(cpus)[:60]}")
            named.update((cpu,) for cpu in strangers)
        if len(owners) > len(strangers):
            named[tuple(sorted(here))] += len(owners) - len(strangers)
    parts, crossed = disjoint(named)
    for cpus in crossed:
        root.doubt(f"{level}: the set {format_cpulist(cpus)[:60]} overlaps another one")
    return tuple(sorted(parts))


def merge_split_packages(root: Root, packages: Partition | None, nodes: Sequence[Node]) -> Partition | None:
    """Packages that old x86 kernels cut at node borders, put together again by their ids.

    From Linux 3.6 on, siblings on different nodes were dropped ("CPU is not on the same node", topology_sane
    in arch/x86/kernel/smpboot.c). So a package with several nodes, as with Intel's cluster on die, shows one
    sibling set a node, all with the same physical_package_id. Nothing else is merged: sets of one id on
    the same node have another cause (Xen shows each vCPU alone, all with id 0).
    """
    if packages is None or len(packages) < 2:
        return packages
    node_of = {cpu: node.id for node in nodes for cpu in node.cpus}
    groups: dict[int, dict[int, CpuSet]] = {}
    for cpus in packages:
        package_id = root.integer(f"{CPU_DIR}/cpu{cpus[0]}/topology/physical_package_id")
        node_ids = {node_of.get(cpu) for cpu in cpus}
        node_id = node_ids.pop()
        if package_id is None or package_id in _NO_ID or node_id is None or node_ids:
            return packages
        by_node = groups.setdefault(package_id, {})
        if node_id in by_node:
            return packages
        by_node[node_id] = cpus
    if len(groups) == len(packages):
        return packages
    root.doubt(
        f"packages: {len(packages)} sibling sets, but {len(groups)} package ids; sets of one id were merged"
    )
    return partition_of(tuple(cpu for cpus in sets.values() for cpu in cpus) for sets in groups.values())
