"""Which host suits a request best: the cost models of `advise`, over costs rebuilt from its metrics; pure.

The CPU × CPU matrix is no metric, so a pair's cost is the estimate of its two L3 domains, or of its relation
where both are in one domain: what differs from pair to pair inside them is lost, so the CPUs that are named
here are a first guess; `toposcope recommend` on the host has the last word. For the same reason CPUs of one
domain are as good as each other, and only as many of them are looked at as there are workers: a host takes
milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from toposcope.advise.candidates import Cores, candidates, choose_cores
from toposcope.advise.choose import talks
from toposcope.advise.costs import pair_costs
from toposcope.advise.facts import Evidence
from toposcope.advise.layout import Layout, layout_of
from toposcope.advise.mapping import communication_cost, mapped, pipeline_edges
from toposcope.advise.nearest import WORK_CELLS, mean_cost, nearest_set
from toposcope.advise.request import Request
from toposcope.advise.spread import spread_out
from toposcope.errors import UsageError
from toposcope.fleet.hosts import Host, Shape
from toposcope.matrix import Matrix
from toposcope.topology.model import Cache, Machine, Node, Partition, partition_of

# Costs in blocks are easier to search than measured pairs: a tenth of the work finds the same.
_WORK_CELLS: Final = WORK_CELLS // 10


@dataclass(frozen=True, slots=True)
class Ranked:
    """One host for the request. `reason` says why it can't take it; then all else is empty.

    `cost_ns` is the mean latency of the pairs that talk; `workers_per_l3` how many share an L3 domain.
    """

    instance: str
    cpu_model: str
    cpus: tuple[int, ...] = ()
    cost_ns: float | None = None
    workers_per_l3: float = 0.0
    reason: str = ""


def rank(request: Request, hosts: Iterable[Host], shapes: Mapping[tuple[str, str], Shape]) -> list[Ranked]:
    """All hosts, the cheapest first; those that can't take it last."""
    found = [_ranked(request, host, shapes.get((host.job, host.instance))) for host in hosts]
    return sorted(found, key=_order)


def _order(ranked: Ranked) -> tuple[bool, bool, float, float, str]:
    cost = ranked.cost_ns if ranked.cost_ns is not None else 0.0
    return bool(ranked.reason), ranked.cost_ns is None, cost, ranked.workers_per_l3, ranked.instance


def _ranked(request: Request, host: Host, shape: Shape | None) -> Ranked:
    if shape is None:
        return Ranked(host.instance, host.cpu_model, reason="its CPUs are not described")
    if not host.levels:
        return Ranked(host.instance, host.cpu_model, reason="it has no sound result")
    machine = machine_of(shape)
    try:
        cpus, cost_ns = _placed(request, machine, host, shape)
    except UsageError as error:
        return Ranked(host.instance, host.cpu_model, reason=error.message)
    domains = machine.cache_partition(3) or (machine.online_cpus,)
    used = sum(bool(set(domain).intersection(cpus)) for domain in domains)
    return Ranked(
        instance=host.instance,
        cpu_model=host.cpu_model,
        cpus=cpus,
        cost_ns=cost_ns,
        workers_per_l3=len(cpus) / max(1, used),
    )


def _placed(
    request: Request, machine: Machine, host: Host, shape: Shape
) -> tuple[tuple[int, ...], float | None]:
    """The CPUs for the workers, and what those that talk cost each other. Raises UsageError."""
    cpus = candidates(request, Evidence(machine)).cpus
    layout = layout_of(machine, cpus)
    cores = choose_cores(request, layout, cores_are_known=machine.cores is not None)
    if not talks(request):
        places = spread_out(layout, cores.groups, cores.workers, None, [1.0] * len(cpus))
        assert places is not None, "nothing was said of memory"
        return tuple(cpus[place] for place in places), None
    taken = _distinguishable(machine, layout, cores)
    groups = [cores.groups[position] for position in taken]
    kept = tuple(cpus[position] for position in taken)
    costs = pair_costs(Evidence(machine, matrix=matrix_of(machine, kept, host, shape)), kept)
    if request.sharing == "shared":
        chosen = nearest_set(costs.rows, groups, cores.workers, _WORK_CELLS)
        cost_ns = mean_cost(costs.rows, chosen)
    else:
        edges = pipeline_edges(cores.workers)
        chosen = mapped(costs.rows, groups, cores.workers, edges, _WORK_CELLS)
        cost_ns = communication_cost(costs.rows, edges, chosen)
    return tuple(kept[position] for position in chosen), cost_ns


def _distinguishable(machine: Machine, layout: Layout, cores: Cores) -> list[int]:
    """Positions: of cores that cost all others the same, no more than there are workers.

    Inside an L3 domain that lies in one node and one package, a pair costs what its relation costs. Of a
    group (a core that is not to be shared) one CPU is enough.
    """
    nodes = tuple(node.cpus for node in machine.numa_nodes)
    places = [
        {cpu: number for number, members in enumerate(partition) for cpu in members}
        for partition in (machine.packages or (), nodes, machine.cache_partition(3) or ())
    ]
    taken: list[int] = []
    groups: set[int] = set()
    cores_at: dict[tuple[int, ...], set[int]] = {}
    for position, cpu in enumerate(layout.cpus):
        here = cores_at.setdefault(tuple(number_of.get(cpu, -1) for number_of in places), set())
        core, group = layout.cores[position], cores.groups[position]
        if group not in groups and (core in here or len(here) < cores.workers):
            here.add(core)
            groups.add(group)
            taken.append(position)
    return taken


def machine_of(shape: Shape) -> Machine:
    """The machine that `toposcope_cpu_info` describes: CPUs, cores, L3 domains, nodes, packages."""
    sets: dict[str, dict[str, list[int]]] = {name: {} for name in ("core", "l3", "node", "package")}
    for labels in shape.cpus:
        for name, found in sets.items():
            if name in labels:
                found.setdefault(labels[name], []).append(int(labels["cpu"]))

    def partition(name: str) -> Partition | None:
        return partition_of(sets[name].values()) or None

    nodes = tuple(Node(int(node), tuple(sorted(cpus)), None) for node, cpus in sets["node"].items())
    return Machine(
        is_this_system=False,
        online_cpus=tuple(sorted(int(labels["cpu"]) for labels in shape.cpus)),
        packages=partition("package"),
        cores=partition("core"),
        numa_exposed=bool(nodes),
        numa_nodes=tuple(sorted(nodes, key=lambda node: node.id)),
        caches=tuple(Cache(3, "Unified", None, cpus) for cpus in partition("l3") or ()),
    )


def matrix_of(machine: Machine, cpus: Sequence[int], host: Host, shape: Shape) -> Matrix:
    """Latencies between `cpus` in ns as far as the metrics tell them; cells are empty where they don't."""
    l3_of = {cpu: members[0] for members in machine.cache_partition(3) or () for cpu in members}

    def latency_ns(cpu: int, other: int) -> float | None:
        ends = (l3_of.get(cpu, -1), l3_of.get(other, -1))
        if ends[0] != ends[1]:
            between = shape.domain_pairs_ns.get((min(ends), max(ends)))
            if between is not None:
                return between
        level = host.levels.get(machine.relation(cpu, other))
        return None if level is None else level.estimate_ns

    rows: list[list[float | None]] = [[None] * len(cpus) for _ in cpus]
    for row, cpu in enumerate(cpus):
        for column in range(row):
            rows[row][column] = rows[column][row] = latency_ns(cpu, cpus[column])
    return Matrix(tuple(cpus), tuple(map(tuple, rows)))
