"""Machines that nobody here has, described for the planner."""

from __future__ import annotations

from toposcope.topology.model import Cache, Distances, Machine, Node, Partition


def machine(packages: int, l3_domains: int, cores: int, smt: int) -> Machine:
    """`packages` × `l3_domains` × `cores` × `smt`; CPU ids as Linux numbers them, a node a package."""
    total = packages * l3_domains * cores
    core_sets = tuple(tuple(core + total * thread for thread in range(smt)) for core in range(total))

    def groups(size: int) -> Partition:
        return tuple(
            tuple(sorted(cpu for core in core_sets[start : start + size] for cpu in core))
            for start in range(0, total, size)
        )

    per_package = l3_domains * cores
    count = range(packages)
    return Machine(
        is_this_system=False,
        online_cpus=tuple(range(total * smt)),
        packages=groups(per_package),
        cores=core_sets,
        numa_exposed=True,
        numa_nodes=tuple(Node(i, cpus, 1 << 36) for i, cpus in enumerate(groups(per_package))),
        distances=Distances(tuple(count), tuple(tuple(10 if a == b else 32 for b in count) for a in count)),
        caches=tuple(Cache(3, "Unified", 32 << 20, cpus) for cpus in groups(cores)),
    )


MACHINES = {
    "2 CPUs": machine(1, 1, 2, 1),
    "128 CPUs": machine(2, 4, 8, 2),
    "384 CPUs": machine(2, 12, 8, 2),
}
