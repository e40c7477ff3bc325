"""Which host suits a request best: `advise.recommend` on each, over costs rebuilt from its metrics; pure.

The CPU × CPU matrix is no metric, so a pair's cost is the estimate of its two L3 domains, or of its relation
where both are in one domain: what differs from pair to pair inside them is lost, so the CPUs that are named
here are a first guess; `toposcope recommend` on the host has the last word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from toposcope.advise.facts import Evidence, Mode
from toposcope.advise.recommend import recommend
from toposcope.advise.request import Request
from toposcope.errors import UsageError
from toposcope.fleet.hosts import Host, Shape
from toposcope.matrix import Matrix
from toposcope.topology.model import Cache, Machine, Node, Partition, partition_of


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
    expected_gain_ratio: float | None = None
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
    mode: Mode = "replay" if host.mode == "replay" else "live"
    evidence = Evidence(machine, matrix=matrix_of(machine, host, shape), mode=mode, source=host.instance)
    try:
        placement = recommend(request, evidence).placements[0]
    except UsageError as error:
        return Ranked(host.instance, host.cpu_model, reason=error.message)
    domains = machine.cache_partition(3) or (machine.online_cpus,)
    used = sum(bool(set(domain).intersection(placement.cpus)) for domain in domains)
    return Ranked(
        instance=host.instance,
        cpu_model=host.cpu_model,
        cpus=placement.cpus,
        cost_ns=placement.cost_ns,
        workers_per_l3=len(placement.cpus) / max(1, used),
        expected_gain_ratio=placement.expected_gain_ratio,
    )


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


def matrix_of(machine: Machine, host: Host, shape: Shape) -> Matrix:
    """Latencies in ns as far as the host's metrics tell them; cells are empty where they don't."""
    l3_of = {cpu: cpus[0] for cpus in machine.cache_partition(3) or () for cpu in cpus}
    cpus = machine.online_cpus

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
    return Matrix(cpus, tuple(map(tuple, rows)))
