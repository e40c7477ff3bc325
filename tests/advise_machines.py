"""Machines made up for the advice's tests."""

from __future__ import annotations

import json

from shared_material import shared_path
from toposcope.topology.model import Cache, Machine, Node, Partition, partition_of


def two_sockets(cores_a_domain: int = 2, threads: int = 2) -> Machine:
    """2 packages × 2 L3 domains × cores × threads; siblings are neighbours by number."""
    domain = cores_a_domain * threads
    count = 4 * domain
    packages = (tuple(range(count // 2)), tuple(range(count // 2, count)))
    return Machine(
        is_this_system=False,
        online_cpus=tuple(range(count)),
        packages=packages,
        cores=tuple(tuple(range(first, first + threads)) for first in range(0, count, threads)),
        smt_max=threads,
        caches=tuple(
            Cache(3, "Unified", 32 << 20, tuple(range(first, first + domain)))
            for first in range(0, count, domain)
        ),
        numa_nodes=tuple(Node(index, cpus, 64 << 30) for index, cpus in enumerate(packages)),
    )


def declared_machine(name: str) -> Machine:
    """A published matrix's machine: packages, L3 domains and cores as its operating system declares them."""
    facts = json.loads(shared_path("latency_matrices", f"{name}.json").read_text())
    sets: dict[str, Partition] = {}
    for level in ("socket", "l3", "core"):
        members: dict[object, list[int]] = {}
        for cpu, label in zip(facts["cpu_ids"], facts["truth_per_cpu"].get(level) or (), strict=False):
            members.setdefault(label, []).append(cpu)
        sets[level] = partition_of(members.values())
    return Machine(
        is_this_system=False, online_cpus=tuple(sorted(facts["cpu_ids"])), packages=sets["socket"],
        cores=sets["core"], smt_max=max(map(len, sets["core"]), default=1),
        caches=tuple(Cache(3, "Unified", 32 << 20, cpus) for cpus in sets["l3"]),
    )  # fmt: skip
