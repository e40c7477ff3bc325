"""What makes two boots the same machine, so that results of one can be used in the other."""

from __future__ import annotations

import hashlib
import json
from typing import Final

from toposcope.topology.model import Machine, Partition

_MODEL_SETTINGS: Final = ("cpu_model", "cpu_vendor", "hypervisor", "machine_product")


def fingerprint(machine: Machine) -> str:
    """16 hexadecimal digits over what is soldered or configured in firmware.

    Counted are the CPUs that are present and, of the online ones, who shares which cache, core, cluster,
    die, package, book, drawer and node; cache sizes, core types, distances, CPU model and hypervisor. Not
    counted is what changes from day to day: cpusets and affinity, settings, the kernel, memory sizes (they
    vary with what firmware and kernel keep for themselves).

    Being offline does count: without a CPU the sets are other sets, and what its neighbours measure is
    something else (a core whose sibling is off has its resources for itself). A CPU that comes back brings
    the old fingerprint back. While running, `same_machine` tells hotplug from another machine.
    """
    facts = {
        "present": machine.present_cpus or machine.online_cpus,
        "partitions": [_sorted(partition) for partition in (
            machine.packages, machine.dies, machine.clusters, machine.cores, machine.books, machine.drawers,
            machine.core_types)],
        "nodes": [(node.id, node.cpus, node.kind) for node in machine.numa_nodes],
        "distances": (machine.distances.nodes, machine.distances.matrix) if machine.distances else None,
        "caches": [(cache.level, cache.type, cache.size_bytes, cache.cpus) for cache in machine.caches],
        "model": [machine.setting(name) for name in _MODEL_SETTINGS],
    }  # fmt: skip
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]


def _sorted(partition: Partition | None) -> Partition | None:
    return None if partition is None else tuple(sorted(partition))


def same_machine(before: Machine, after: Machine) -> bool:
    """Whether `after` may be `before` with CPUs switched on or off: results for CPUs in both still count.

    What both have online must share the same caches, cores, nodes and so on among themselves, and the CPUs
    that are present, the distances and the model must be the same.
    """
    common = frozenset(before.online_cpus) & frozenset(after.online_cpus)
    return bool(common) and _facts_within(before, common) == _facts_within(after, common)


def _facts_within(machine: Machine, cpus: frozenset[int]) -> tuple[object, ...]:
    partitions = (machine.packages, machine.dies, machine.clusters, machine.cores, machine.books,
                  machine.drawers, machine.core_types)  # fmt: skip
    return (
        frozenset(machine.present_cpus or (*machine.online_cpus, *(machine.offline_cpus or ()))),
        tuple(_within(partition or (), cpus) for partition in partitions),
        {node.id: frozenset(node.cpus) & cpus for node in machine.numa_nodes},
        machine.distances,
        {
            (cache.level, cache.type, cache.size_bytes, frozenset(cache.cpus) & cpus)
            for cache in machine.caches
        }
        - {(cache.level, cache.type, cache.size_bytes, frozenset()) for cache in machine.caches},
        tuple(machine.setting(name) for name in _MODEL_SETTINGS),
    )


def _within(sets: Partition, cpus: frozenset[int]) -> frozenset[frozenset[int]]:
    return frozenset(frozenset(group) & cpus for group in sets) - {frozenset()}
