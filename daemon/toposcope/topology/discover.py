"""From a root directory to a Machine, in phases."""

from __future__ import annotations

from dataclasses import replace

from toposcope.topology.model import Machine
from toposcope.topology.named_modes import name_modes
from toposcope.topology.phases.allowed import read_allowed
from toposcope.topology.phases.caches import read_caches
from toposcope.topology.phases.core_types import read_capacities, read_core_types
from toposcope.topology.phases.cpuinfo import read_summary
from toposcope.topology.phases.cpus import read_cpus
from toposcope.topology.phases.nodes import read_distances, read_nodes
from toposcope.topology.phases.settings import read_settings
from toposcope.topology.phases.siblings import merge_split_packages, read_siblings
from toposcope.topology.sysfs import Root


def discover(root: Root) -> Machine:
    """The machine described below `root`; what could not be understood is in its `doubts`.

    Takes about 30 µs a CPU and file on a warm page cache; call it off the event loop. Raises
    TopologyError only where not a single online CPU is described.
    """
    root.begin()
    cpus = read_cpus(root)
    siblings = read_siblings(root, cpus.online)
    first_cpu = read_summary(root)
    caches = read_caches(root, cpus.online)
    nodes = read_nodes(root, cpus.online)
    node_ids = tuple(node.id for node in nodes)
    packages = siblings.packages
    if "flags" in first_cpu:  # x86; elsewhere equal ids are normal (s390x counts anew in each book)
        packages = merge_split_packages(root, packages, nodes)
    allowed_cpus, allowed_nodes = read_allowed(root, cpus.online, node_ids)
    core_types, core_type_names = read_core_types(root, cpus.online, caches, first_cpu)
    machine = Machine(
        is_this_system=root.is_this_system,
        online_cpus=cpus.online,
        possible_cpus=cpus.possible,
        present_cpus=cpus.present,
        offline_cpus=cpus.offline,
        allowed_cpus=allowed_cpus,
        allowed_nodes=allowed_nodes,
        isolated_cpus=cpus.isolated,
        nohz_full_cpus=cpus.nohz_full,
        packages=packages,
        dies=siblings.dies,
        clusters=siblings.clusters,
        cores=siblings.cores,
        books=siblings.books,
        drawers=siblings.drawers,
        core_types=core_types,
        core_type_names=core_type_names,
        cpu_capacities=read_capacities(root, cpus.online),
        smt_max=max(map(len, siblings.cores)) if siblings.cores else None,
        numa_exposed=bool(nodes),
        numa_nodes=nodes,
        distances=read_distances(root, node_ids),
        caches=caches,
        settings=read_settings(root, cpus.online, first_cpu),
        doubts=tuple(root.doubts),
    )
    return replace(machine, modes=name_modes(machine))
