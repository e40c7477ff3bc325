"""Machines made up for the advice's tests."""

from __future__ import annotations

from toposcope.topology.model import Cache, Machine, Node


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
