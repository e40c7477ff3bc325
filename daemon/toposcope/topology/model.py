"""The machine as a value: frozen, with nothing in it that was not read or concluded.

Ids are the kernel's (`cpu_id`, `node_id`); positions never appear. A partition is a tuple of CPU tuples,
each ascending, ordered by first CPU; `None` means that the kernel doesn't tell, which is not the same as an
empty tuple. Only online CPUs occur in partitions, caches and nodes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

CpuSet = tuple[int, ...]
Partition = tuple[CpuSet, ...]

# Narrow to wide. Equal sets take the wider name (DESIGN section 2).
RELATIONS: Final = (
    "smt", "l2", "cluster", "l3", "die", "node", "package", "book", "drawer", "cross_package",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cache:
    """One cache. `type` is the kernel's word: Data, Instruction or Unified. `size_bytes` may be unknown."""

    level: int
    type: str
    size_bytes: int | None
    cpus: CpuSet


@dataclass(frozen=True, slots=True)
class Node:
    """One NUMA node. Either part may be absent: no CPUs (CXL, HBM) or no memory (`memory_bytes` 0).

    `memory_bytes` is None where nothing tells. `kind` is cpu, memory (CPU-less) or empty.
    """

    id: int
    cpus: CpuSet
    memory_bytes: int | None
    kind: str = "cpu"
    access_class_initiators: CpuSet | None = None


@dataclass(frozen=True, slots=True)
class Distances:
    """What firmware declares (ACPI SLIT): `matrix[i][j]` from `nodes[i]` to `nodes[j]`, 10 is local.

    May be asymmetric. The unit is the firmware's; it is a declaration, not a measurement.
    """

    nodes: tuple[int, ...]
    matrix: tuple[tuple[int, ...], ...]

    def between(self, source_node: int, target_node: int) -> int | None:
        """The declared distance, or None where a node has none."""
        if source_node not in self.nodes or target_node not in self.nodes:
            return None
        return self.matrix[self.nodes.index(source_node)][self.nodes.index(target_node)]


@dataclass(frozen=True, slots=True)
class Finding:
    """A named mode of the machine (NPS, SNC, "every vCPU its own package") with its evidence."""

    name: str
    evidence: str


@dataclass(frozen=True)
class Machine:
    """A machine, as read below one root directory.

    `is_this_system` is true only for a machine read from `/`: no other can be measured. `doubts` are
    sentences about contradictions met while reading; `settings` are facts like governor or hypervisor
    (None where unknown).
    """

    is_this_system: bool
    online_cpus: CpuSet
    possible_cpus: CpuSet | None = None
    present_cpus: CpuSet | None = None
    offline_cpus: CpuSet | None = None
    allowed_cpus: CpuSet | None = None
    allowed_nodes: tuple[int, ...] | None = None
    isolated_cpus: CpuSet | None = None
    nohz_full_cpus: CpuSet | None = None
    packages: Partition | None = None
    dies: Partition | None = None
    clusters: Partition | None = None
    cores: Partition | None = None
    books: Partition | None = None
    drawers: Partition | None = None
    core_types: Partition | None = None
    core_type_names: tuple[str, ...] | None = None
    cpu_capacities: tuple[tuple[int, int], ...] = ()  # (cpu_id, capacity 1…1024), Arm and RISC-V
    smt_max: int | None = None
    numa_exposed: bool = False
    numa_nodes: tuple[Node, ...] = ()
    distances: Distances | None = None
    caches: tuple[Cache, ...] = ()
    settings: tuple[tuple[str, str | None], ...] = ()
    modes: tuple[Finding, ...] = ()
    doubts: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        assert self.online_cpus == tuple(sorted(set(self.online_cpus))), "online CPUs not ascending"

    def setting(self, name: str) -> str | None:
        """One of `settings`, or None."""
        return dict(self.settings).get(name)

    @property
    def usable_cpus(self) -> CpuSet:
        """Online CPUs that this process may run on, isolated ones included."""
        if self.allowed_cpus is None:
            return self.online_cpus
        allowed = set(self.allowed_cpus)
        return tuple(cpu for cpu in self.online_cpus if cpu in allowed)

    def cache_partition(self, level: int) -> Partition | None:
        """The CPU sets that share a data or unified cache of that level; None where there is none."""
        sets = {cache.cpus for cache in self.caches
                if cache.level == level and cache.type != "Instruction" and cache.cpus}  # fmt: skip
        return tuple(sorted(sets)) or None

    @functools.cached_property
    def levels(self) -> tuple[tuple[str, Partition], ...]:
        """The levels that exist here, narrow to wide, each with its CPU sets (single CPUs left out)."""
        return tuple(_levels(self))

    @functools.cached_property
    def _sets_of_cpu(self) -> dict[int, list[tuple[int, int, frozenset[int], str]]]:
        table: dict[int, list[tuple[int, int, frozenset[int], str]]] = {}
        for name, partition in self.levels:
            for cpus in partition:
                entry = (len(cpus), -RELATIONS.index(name), frozenset(cpus), name)
                for cpu in cpus:
                    table.setdefault(cpu, []).append(entry)
        for entries in table.values():
            entries.sort(key=lambda entry: entry[:2])
        return table

    def relation(self, cpu: int, other_cpu: int) -> str:
        """The smallest level that holds both CPUs, one of `RELATIONS`.

        Of equal sets the widest name counts. A node that spans every package of the machine separates
        nothing and is no level, so two packages on such a machine are `cross_package`.
        """
        assert cpu != other_cpu, "a relation is between two CPUs"
        for _, _, cpus, name in self._sets_of_cpu.get(cpu, ()):
            if other_cpu in cpus:
                return name
        return "cross_package"

    def node_of(self, cpu: int) -> int | None:
        """The NUMA node that the CPU belongs to, or None."""
        return self._node_of_cpu.get(cpu)

    @functools.cached_property
    def _node_of_cpu(self) -> dict[int, int]:
        return {cpu: node.id for node in self.numa_nodes for cpu in node.cpus}

    def node_distance(self, cpu: int, other_cpu: int) -> int | None:
        """The declared distance between the nodes of two CPUs, or None."""
        source, target = self.node_of(cpu), self.node_of(other_cpu)
        if self.distances is None or source is None or target is None:
            return None
        return self.distances.between(source, target)

    def package_of(self, cpu: int) -> int | None:
        """The index of the CPU's package in `packages`, or None."""
        return _index_of(self.packages, cpu)


def _levels(machine: Machine) -> Iterator[tuple[str, Partition]]:
    everything = frozenset(machine.online_cpus)
    several_packages = machine.packages is not None and len(machine.packages) > 1
    nodes = tuple(node.cpus for node in machine.numa_nodes if node.cpus)
    if several_packages:
        nodes = tuple(cpus for cpus in nodes if frozenset(cpus) != everything)
    candidates = {
        "smt": machine.cores,
        "l2": machine.cache_partition(2),
        "cluster": machine.clusters,
        "l3": machine.cache_partition(3),
        "die": machine.dies,
        "node": nodes or None,
        "package": machine.packages,
        "book": machine.books,
        "drawer": machine.drawers,
    }
    for name in RELATIONS[:-1]:
        partition = tuple(cpus for cpus in candidates[name] or () if len(cpus) > 1)
        if partition:
            yield name, partition


def _index_of(partition: Partition | None, cpu: int) -> int | None:
    for index, cpus in enumerate(partition or ()):
        if cpu in cpus:
            return index
    return None


def partition_of(sets: Iterable[Iterable[int]]) -> Partition:
    """Sets of CPUs in the model's canonical order; duplicates and empty sets are dropped."""
    return tuple(sorted({tuple(sorted(set(cpus))) for cpus in sets} - {()}))
