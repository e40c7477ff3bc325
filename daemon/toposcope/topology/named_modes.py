"""The ways to run a machine that people have names for, recognised with their evidence.

Sources: AMD's tuning guides for EPYC (NPS, "L3 cache as NUMA domain"), Intel's for Xeon (cluster on die,
sub-NUMA clustering), hypervisors' documentation of vCPU topology. A name is given where the declared
topology shows the pattern; what the latencies say is another matter (`infer`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from toposcope.topology.model import Finding, Machine, Partition


def name_modes(machine: Machine) -> tuple[Finding, ...]:
    """All modes that this machine shows, most telling first."""
    return tuple(finding for recognise in _RECOGNISERS for finding in recognise(machine))


def _nodes_of_cpus(machine: Machine) -> Partition:
    return tuple(node.cpus for node in machine.numa_nodes if node.cpus)


def _vcpu_is_package(machine: Machine) -> Iterator[Finding]:
    packages = machine.packages or ()
    if len(packages) < 2 or any(len(cpus) > 1 for cpus in packages):
        return
    if machine.books or machine.drawers:  # s390x: packages of one core are real there
        return
    hypervisor = machine.setting("hypervisor")
    shared = [cache for cache in machine.caches if len(cache.cpus) > 1]
    if hypervisor is None and not shared:
        return
    why = f"under hypervisor {hypervisor}" if hypervisor else f"though an L{shared[0].level} cache is shared"
    yield Finding(
        "every vCPU its own package",
        f"{len(packages)} packages of one CPU each {why}: sockets, cores and SMT of the host are hidden",
    )


def _nodes_per_package(machine: Machine) -> Iterator[Finding]:
    """NPS, L3 as NUMA, SNC and cluster on die: every package cut into the same number of nodes."""
    nodes, packages = _nodes_of_cpus(machine), machine.packages or ()
    counts = _nodes_in_packages(nodes, packages)
    if not counts or len(set(counts)) > 1 or counts[0] < 2:
        return
    count = counts[0]
    l3_is_node = set(machine.cache_partition(3) or ()) == set(nodes)
    borders = "each node is one L3 domain" if l3_is_node else "L3 domains and nodes differ"
    evidence = f"each package holds {count} NUMA nodes; {borders}"
    yield Finding(_name_of_split(machine.setting("cpu_model") or "", count, l3_is_node=l3_is_node), evidence)


def _name_of_split(cpu_model: str, count: int, *, l3_is_node: bool) -> str:
    """The vendor's name for `count` nodes a package; only where the model is one that has such a setting."""
    if "EPYC" in cpu_model or "Hygon" in cpu_model:
        if l3_is_node:
            return "L3 as NUMA"
        if count in (2, 4):
            return f"NPS{count}"
    if "Xeon" in cpu_model:
        # Cluster on die (Haswell, Broadwell) cuts the L3, sub-NUMA clusters share all of it.
        return "cluster on die" if l3_is_node and count == 2 else f"SNC{count}"
    return "several nodes a package"


def _nodes_in_packages(nodes: Partition, packages: Partition) -> list[int] | None:
    """How many nodes make up each package exactly; None where a node crosses a package's border."""
    package_of = {cpu: index for index, cpus in enumerate(packages) for cpu in cpus}
    counts, covered = [0] * len(packages), [0] * len(packages)
    for cpus in nodes:
        holders = {package_of.get(cpu) for cpu in cpus}
        holder = holders.pop()
        if holders or holder is None:
            return None
        counts[holder] += 1
        covered[holder] += len(cpus)
    return counts if covered == [len(cpus) for cpus in packages] else None


def _node_spans_packages(machine: Machine) -> Iterator[Finding]:
    packages = machine.packages or ()
    if len(packages) < 2 or any(_vcpu_is_package(machine)):
        return
    for node in machine.numa_nodes:
        here = set(node.cpus)
        held = sum(1 for cpus in packages if cpus[0] in here and here.issuperset(cpus))
        if held > 1:
            every = held == len(packages)
            consequence = (
                "NUMA is off or interleaved, distances are hidden" if every else "its memory may be far"
            )
            yield Finding(
                "node spans packages",
                f"node {node.id} holds {'all ' if every else ''}{held} packages: {consequence}",
            )
            return


def _smt(machine: Machine) -> Iterator[Finding]:
    control = machine.setting("smt_control")
    if control in ("off", "forceoff"):
        yield Finding("SMT off", f"smt/control says {control}")
        return
    widths = {len(cpus) for cpus in machine.cores or ()}
    if len(widths) > 1 and machine.core_types and len(machine.core_types) > 1:
        yield Finding("mixed SMT", f"cores have {' or '.join(map(str, sorted(widths)))} CPUs, by core type")
    elif len(widths) > 1:
        yield Finding("SMT partly off", f"some cores have {min(widths)} CPUs online, others {max(widths)}")


def _hybrid(machine: Machine) -> Iterator[Finding]:
    types = machine.core_types or ()
    if len(types) > 1:
        names = machine.core_type_names or tuple(f"type {index}" for index in range(len(types)))
        counts = ", ".join(f"{len(cpus)} CPUs {name}" for name, cpus in zip(names, types, strict=True))
        yield Finding("hybrid cores", counts)


def _memory_nodes(machine: Machine) -> Iterator[Finding]:
    without_cpus = [node.id for node in machine.numa_nodes if node.kind == "memory" and node.memory_bytes]
    if without_cpus:
        yield Finding(
            "memory-only nodes", f"nodes {_ids(without_cpus)} have memory and no CPUs (HBM, CXL, PMEM)"
        )
    without_memory = [node.id for node in machine.numa_nodes if node.cpus and node.memory_bytes == 0]
    if without_memory:
        yield Finding(
            "memory-less nodes", f"nodes {_ids(without_memory)} have CPUs and no memory of their own"
        )


def _ids(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _distances(machine: Machine) -> Iterator[Finding]:
    distances = machine.distances
    if distances is None:
        return
    for i, source in enumerate(distances.nodes):
        for j, target in enumerate(distances.nodes[:i]):
            there, back = distances.matrix[i][j], distances.matrix[j][i]
            if there != back:
                yield Finding(
                    "asymmetric distances", f"{there} from node {source} to {target}, {back} the other way"
                )
                return


_RECOGNISERS: Final[tuple[Callable[[Machine], Iterator[Finding]], ...]] = (
    _vcpu_is_package, _nodes_per_package, _node_spans_packages, _smt, _hybrid, _memory_nodes, _distances,
)  # fmt: skip
