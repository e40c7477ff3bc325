"""Sets of CPUs that should not overlap and sometimes do, made disjoint."""

from __future__ import annotations

from collections.abc import Mapping

from toposcope.topology.model import CpuSet


def disjoint(named: Mapping[CpuSet, int]) -> tuple[dict[CpuSet, CpuSet], list[CpuSet]]:
    """`{what is left of the set: the set}` and the sets that lost a CPU to another one.

    `named` counts how many CPUs name a set as their own. The set that more CPUs name keeps a contested
    CPU; of equals the one whose first CPU is lower. A set that loses all its CPUs is dropped.
    """
    taken: set[int] = set()
    parts: dict[CpuSet, CpuSet] = {}
    crossed = []
    for cpus, _ in sorted(named.items(), key=lambda item: (-item[1], item[0])):
        free = cpus if taken.isdisjoint(cpus) else tuple(cpu for cpu in cpus if cpu not in taken)
        if free != cpus:
            crossed.append(cpus)
        if free:
            parts[free] = cpus
            taken.update(free)
    return parts, crossed
