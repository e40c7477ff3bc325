"""What a latency matrix shows of a machine of which nothing else is known."""

from __future__ import annotations

from dataclasses import replace

from toposcope.advise.siblings import siblings
from toposcope.matrix import Matrix
from toposcope.topology.model import Machine, partition_of


def with_cores_shown(machine: Machine, matrix: Matrix) -> Machine:
    """The machine with the cores whose threads show in the matrix, and no level that is only assumed."""
    threads = siblings(matrix)
    shared = {cpu for core in threads for cpu in core}
    cores = partition_of([*threads, *([cpu] for cpu in matrix.cpus if cpu not in shared)])
    return replace(
        machine,
        packages=None,
        cores=cores if threads else None,
        smt_max=max(map(len, threads), default=None),
    )
