"""A machine of which nothing is known but a latency matrix."""

from __future__ import annotations

from toposcope.advise.siblings import siblings
from toposcope.matrix import Matrix
from toposcope.topology.model import Machine, partition_of


def machine_of(matrix: Matrix) -> Machine:
    """Its CPUs, and the cores where siblings show; packages, caches and nodes stay unknown."""
    threads = siblings(matrix)
    shared = {cpu for core in threads for cpu in core}
    cores = partition_of([*threads, *([cpu] for cpu in matrix.cpus if cpu not in shared)])
    return Machine(
        is_this_system=False,
        online_cpus=tuple(sorted(matrix.cpus)),
        cores=cores if threads else None,
        smt_max=max(map(len, threads), default=None),
    )
